"""One tenant, one transaction: what the application's services open, use and commit.

    async with uow(tenant_id) as work:
        conversation = await work.conversations.get(conversation_id)   # the first lock
        conversation.take_over(actor=actor, at=now)
        await work.commit()

Leaving without `commit` rolls back. No network call is made inside.
"""

from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from commerce_agent.application.ports.channel_history import ChannelHistory
from commerce_agent.application.ports.early_events import EarlyEvents
from commerce_agent.application.ports.inbox import Inbox
from commerce_agent.application.ports.message_store import MessageStore
from commerce_agent.application.ports.send_store import SendStore
from commerce_agent.application.ports.shop_agent import EffectKey, ToolDone
from commerce_agent.application.ports.turn_scene import Scenes
from commerce_agent.application.ports.turn_store import TurnStore
from commerce_agent.domain.entities.customer import Customer
from commerce_agent.domain.repositories.channel_repository import ChannelRepository
from commerce_agent.domain.repositories.conversation_repository import ConversationRepository
from commerce_agent.domain.repositories.customer_repository import CustomerRepository
from commerce_agent.domain.repositories.product_repository import ProductRepository
from commerce_agent.domain.repositories.tenant_repository import TenantRepository
from shared.kernel.ids import TenantId
from shared.persistence.unit_of_work import Transaction


class UnitOfWork(Protocol):
    """Repositories over one transaction.

    Opened with an effect it first locks the effect's conversation and compares both epochs, so a
    worker that lost the conversation, or an owner who changed, stops it there (``Fenced``).
    """

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
    tx: Transaction

    replayed: str | None
    """What this effect said when it happened; then it has happened, and the body is skipped."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def now(self) -> datetime:
        """The moment by the database's clock."""
        ...

    async def merge_customers(self, kept: Customer, gone: Customer) -> None:
        """Make two customers one, with all their conversations, under both's locks in id order.

        On a channel where both have a conversation, the messages, bubbles and the turn of the one
        go into the other. ``gone`` exists no more afterwards.
        """
        ...

    async def flush(self) -> None:
        """Write what changed so far, for statements that need to see it; commits nothing."""
        ...

    async def commit(self, effect_done: ToolDone | None = None) -> None:
        """Write what changed, its events and its work; with an effect also its journal step."""
        ...


class UnitOfWorkFactory(Protocol):
    """Opens a unit of work for a tenant; HTTP gives no effect, a tool that changes things does.

    Raises (on entry):
        Fenced: another worker or another owner has the effect's conversation.
    """

    def __call__(self, tenant_id: TenantId, effect: EffectKey | None = None) -> UnitOfWork: ...
