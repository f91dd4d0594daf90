"""The unit of work over PostgreSQL."""

from datetime import datetime
from types import TracebackType
from typing import Self

from sqlalchemy import delete

from commerce_agent.application.ports.channel_history import ChannelHistory
from commerce_agent.application.ports.early_events import EarlyEvents
from commerce_agent.application.ports.inbox import Inbox
from commerce_agent.application.ports.message_store import MessageStore
from commerce_agent.application.ports.send_store import SendStore
from commerce_agent.application.ports.shop_agent import EffectKey, Fenced, ToolDone
from commerce_agent.application.ports.turn_scene import Scenes
from commerce_agent.application.ports.turn_store import Entry, TurnStore
from commerce_agent.application.services.turn_tasks import turn_task
from commerce_agent.domain.entities.conversation import Conversation
from commerce_agent.domain.entities.customer import Customer
from commerce_agent.domain.events.conversation_events import ConversationsMerged
from commerce_agent.domain.repositories.channel_repository import ChannelRepository
from commerce_agent.domain.repositories.conversation_repository import ConversationRepository
from commerce_agent.domain.repositories.customer_repository import CustomerRepository
from commerce_agent.domain.repositories.product_repository import ProductRepository
from commerce_agent.domain.repositories.tenant_repository import TenantRepository
from commerce_agent.domain.services.alias_rules import complete
from commerce_agent.domain.value_objects.conversation_state import Owner
from commerce_agent.infrastructure.persistence.channel_history import SqlChannelHistory
from commerce_agent.infrastructure.persistence.channel_repository import SqlChannelRepository
from commerce_agent.infrastructure.persistence.conversation_merge import fold
from commerce_agent.infrastructure.persistence.conversation_repository import (
    SqlConversationRepository,
)
from commerce_agent.infrastructure.persistence.customer_repository import SqlCustomerRepository
from commerce_agent.infrastructure.persistence.early_events import SqlEarlyEvents
from commerce_agent.infrastructure.persistence.inbox import SqlInbox
from commerce_agent.infrastructure.persistence.message_store import SqlMessageStore
from commerce_agent.infrastructure.persistence.product_repository import SqlProductRepository
from commerce_agent.infrastructure.persistence.sends import SqlSendStore
from commerce_agent.infrastructure.persistence.tables import customers as customer_rows
from commerce_agent.infrastructure.persistence.tenant_repository import SqlTenantRepository
from commerce_agent.infrastructure.persistence.turn_scenes import SqlScenes
from commerce_agent.infrastructure.persistence.turn_store import SqlTurnStore
from shared.kernel.ids import TenantId
from shared.persistence.database import Database, database_now
from shared.persistence.unit_of_work import Transaction


class SqlUnitOfWork:
    """Keeps the promises of `UnitOfWork`."""

    tenants: TenantRepository
    channels: ChannelRepository
    products: ProductRepository
    customers: CustomerRepository
    conversations: ConversationRepository
    messages: MessageStore
    early: EarlyEvents
    sends: SendStore
    turns: TurnStore
    scenes: Scenes
    inbox: Inbox
    history: ChannelHistory

    def __init__(
        self, database: Database, tenant_id: TenantId, effect: EffectKey | None = None
    ) -> None:
        self.tx = Transaction(database, tenant_id)
        self.replayed: str | None = None
        self._effect = effect

    @classmethod
    def joining(cls, tx: Transaction) -> Self:
        """The same repositories inside a transaction that somebody else opened and will commit;
        `flush` before that."""
        joined = cls.__new__(cls)
        joined.tx, joined.replayed, joined._effect = tx, None, None
        joined._open_repositories()
        return joined

    async def __aenter__(self) -> Self:
        await self.tx.__aenter__()
        self._open_repositories()
        try:
            if self._effect is not None:
                await self._enter_effect(self._effect)
        except BaseException as error:
            await self.tx.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    def _open_repositories(self) -> None:
        connection, tenant_id = self.tx.connection, self.tx.tenant_id
        tenants = SqlTenantRepository(connection, tenant_id)
        channels = SqlChannelRepository(connection, tenant_id)
        products = SqlProductRepository(connection, tenant_id)
        customers = SqlCustomerRepository(connection, tenant_id)
        self._conversations = SqlConversationRepository(connection, tenant_id)
        self._repositories = (tenants, channels, products, customers, self._conversations)
        self.tenants, self.channels, self.products = tenants, channels, products
        self.customers, self.conversations = customers, self._conversations
        self.messages = SqlMessageStore(connection, tenant_id)
        self.early = SqlEarlyEvents(connection, tenant_id)
        self.sends = SqlSendStore(self.tx)
        self.turns = SqlTurnStore(connection, tenant_id)
        self.scenes = SqlScenes(connection, tenant_id)
        self.inbox = SqlInbox(self.tx)
        self.history = SqlChannelHistory(connection, tenant_id)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.tx.__aexit__(kind, error, trace)

    async def _enter_effect(self, effect: EffectKey) -> None:
        conversation = await self.conversations.find(effect.conversation_id)
        if (
            conversation is None
            or conversation.lease_epoch != effect.lease_epoch
            or conversation.owner_epoch != effect.owner_epoch
        ):
            raise Fenced
        self.replayed = await self.turns.find_result(
            effect.turn_id, step=effect.step, call=effect.call
        )

    async def now(self) -> datetime:
        moment: datetime = await database_now(self.tx.connection)
        return moment

    async def merge_customers(self, kept: Customer, gone: Customer) -> None:
        await self.flush()
        both = await self._conversations.of_customers([kept.id, gone.id])
        ours = {c.channel_id: c for c in both if c.customer_id == kept.id}
        for theirs in (c for c in both if c.customer_id == gone.id):
            if theirs.channel_id in ours:
                await self._fold(ours[theirs.channel_id], theirs)
            else:
                theirs.customer_id = kept.id
        complete(kept, gone)
        await self.customers.move_addresses(source=gone, target=kept)
        await self.flush()
        await self.tx.connection.execute(
            delete(customer_rows).where(
                customer_rows.c.tenant_id == self.tx.tenant_id, customer_rows.c.id == gone.id
            )
        )

    async def _fold(self, kept: Conversation, gone: Conversation) -> None:
        await fold(self.tx.connection, self.tx.tenant_id, kept, gone)
        if kept.owner is Owner.AI and kept.first_unanswered_at is not None:
            await self.tx.enqueue(turn_task(kept.id))
        self.tx.record(
            *self._conversations.forget(gone.id),
            ConversationsMerged(
                tenant_id=self.tx.tenant_id,
                conversation_id=kept.id,
                occurred_at=await self.now(),
                merged_id=gone.id,
            ),
        )

    async def flush(self) -> None:
        for repository in self._repositories:
            self.tx.record(*await repository.flush())

    async def commit(self, effect_done: ToolDone | None = None) -> None:
        if self._effect is not None and effect_done is not None:
            await self._journal(self._effect, effect_done)
        await self.flush()
        await self.tx.commit()

    async def _journal(self, effect: EffectKey, done: ToolDone) -> None:
        entry = Entry(step=effect.step, call=effect.call, body=done)
        await self.turns.append(effect.turn_id, [entry], lease_epoch=effect.lease_epoch)
        await self.turns.show(effect.conversation_id, done.handles)
        if done.state is not None:
            conversation = await self.conversations.get(effect.conversation_id)
            conversation.state = done.state
