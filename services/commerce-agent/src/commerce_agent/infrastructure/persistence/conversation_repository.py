"""Conversations in PostgreSQL: the row's lock is what everything about one queues up for."""

from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Row, bindparam, func, or_, select, update
from sqlalchemy.dialects.postgresql import INTERVAL, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.domain.entities.conversation import (
    Conversation,
    ConversationNotFound,
    HandOver,
)
from commerce_agent.domain.repositories.conversation_repository import (
    BegunCommit,
    Lease,
    LeaseTaken,
)
from commerce_agent.domain.value_objects.conversation_state import ConversationState, Owner
from commerce_agent.domain.value_objects.ids import CustomerId
from commerce_agent.infrastructure.persistence.tables import conversations
from shared.kernel.events import DomainEvent
from shared.kernel.ids import ChannelId, ConversationId, TenantId, new_id

_NOW = func.platform_now()
_MINE = (
    conversations.c.tenant_id == bindparam("tenant"),
    conversations.c.id == bindparam("conversation"),
)
_HELD = (
    *_MINE,
    conversations.c.lease_epoch == bindparam("epoch"),
    conversations.c.lease_owner == bindparam("worker"),
)
_ONE = update(conversations).where(*_MINE)
_LOCK = select(conversations).where(*_MINE).with_for_update(key_share=True)
_LOCK_THEIRS = (
    select(conversations)
    .where(
        conversations.c.tenant_id == bindparam("tenant"),
        conversations.c.channel_id == bindparam("channel"),
        conversations.c.customer_id == bindparam("customer"),
    )
    .with_for_update(key_share=True)
)
_FOR = bindparam("lease", type_=INTERVAL)
_TAKE_LEASE = (
    _ONE.where(or_(conversations.c.lease_until.is_(None), conversations.c.lease_until <= _NOW))
    .values(
        lease_owner=bindparam("worker"),
        lease_until=_NOW + _FOR,
        lease_epoch=conversations.c.lease_epoch + 1,
    )
    .returning(*conversations.c)
)
_RENEW_LEASE = update(conversations).where(*_HELD).values(lease_until=_NOW + _FOR)
_RELEASE_LEASE = update(conversations).where(*_HELD).values(lease_owner=None, lease_until=None)
_HEARD = bindparam("heard", type_=BigInteger)
_BEGIN_COMMIT = _RELEASE_LEASE.where(
    conversations.c.owner == bindparam("ai"),
    conversations.c.owner_epoch == bindparam("as_owner"),
    or_(_HEARD.is_(None), conversations.c.inbound_seq == _HEARD),
).returning(*conversations.c, _NOW.label("now"))
_TRIES = 5
"""A conversation can be merged away between two statements; its customer then has another."""


class SqlConversationRepository:
    """Keeps the promises of `ConversationRepository`; writes only the columns that changed."""

    def __init__(self, connection: AsyncConnection, tenant_id: TenantId) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self._loaded: dict[ConversationId, tuple[Conversation, dict[str, Any]]] = {}

    async def get(self, conversation_id: ConversationId) -> Conversation:
        found = await self.find(conversation_id)
        if found is None:
            raise ConversationNotFound(conversation=str(conversation_id))
        return found

    async def find(self, conversation_id: ConversationId) -> Conversation | None:
        if conversation_id in self._loaded:
            return self._loaded[conversation_id][0]
        return await self._first(_LOCK, self._key(conversation_id))

    async def open(
        self, channel_id: ChannelId, customer_id: CustomerId, *, address: str
    ) -> Conversation:
        theirs = {"tenant": self._tenant_id, "channel": channel_id, "customer": customer_id}
        for _ in range(_TRIES):
            found = await self._first(_LOCK_THEIRS, theirs)
            if found is not None:
                return found
            await self._connection.execute(
                insert(conversations)
                .values(
                    tenant_id=self._tenant_id,
                    id=new_id(),
                    channel_id=channel_id,
                    customer_id=customer_id,
                    address=address,
                )
                .on_conflict_do_nothing(index_elements=["tenant_id", "channel_id", "customer_id"])
            )
        raise ConversationNotFound(channel=str(channel_id))

    async def of_customers(self, customer_ids: Sequence[CustomerId]) -> list[Conversation]:
        """All conversations of these customers, locked in id order."""
        rows = await self._connection.execute(
            select(conversations)
            .where(
                conversations.c.tenant_id == self._tenant_id,
                conversations.c.customer_id.in_(customer_ids),
            )
            .order_by(conversations.c.id)
            .with_for_update(key_share=True)
        )
        return [self._known(row) for row in rows]

    async def take_lease(
        self, conversation_id: ConversationId, *, worker: UUID, for_: timedelta
    ) -> Lease | LeaseTaken | None:
        values = {"worker": worker, "lease": for_, **self._key(conversation_id)}
        row = (await self._connection.execute(_TAKE_LEASE, values)).one_or_none()
        if row is not None:
            self._known(row)
            return Lease(conversation_id=conversation_id, worker=worker, epoch=row.lease_epoch)
        taken = (
            await self._connection.execute(
                select(conversations.c.lease_until).where(*self._mine(conversation_id))
            )
        ).one_or_none()
        return None if taken is None else LeaseTaken(taken.lease_until)

    async def renew_lease(self, lease: Lease, *, for_: timedelta) -> bool:
        values = {"lease": for_, **self._held(lease)}
        return (await self._connection.execute(_RENEW_LEASE, values)).rowcount == 1

    async def release_lease(self, lease: Lease) -> None:
        await self._connection.execute(_RELEASE_LEASE, self._held(lease))

    async def begin_commit(
        self, lease: Lease, *, owner_epoch: int, inbound_seq: int | None
    ) -> BegunCommit | None:
        values = {
            "ai": Owner.AI.value,
            "as_owner": owner_epoch,
            "heard": inbound_seq,
            **self._held(lease),
        }
        row = (await self._connection.execute(_BEGIN_COMMIT, values)).one_or_none()
        return None if row is None else BegunCommit(self._remember(row), row.now)

    async def flush(self) -> list[DomainEvent]:
        events: list[DomainEvent] = []
        for conversation, before in self._loaded.values():
            after = _columns(conversation)
            changed = {name: value for name, value in after.items() if value != before[name]}
            if changed:
                values = {f"new_{name}": value for name, value in changed.items()}
                await self._connection.execute(
                    _change(tuple(changed)), values | self._key(conversation.id)
                )
                before.update(changed)
            events += conversation.pull_events()
        return events

    def forget(self, conversation_id: ConversationId) -> list[DomainEvent]:
        """Drop a conversation that was merged away, and hand over its events."""
        conversation, _ = self._loaded.pop(conversation_id)
        return conversation.pull_events()

    async def _first(self, statement: Any, values: dict[str, Any]) -> Conversation | None:
        row = (await self._connection.execute(statement, values)).one_or_none()
        return None if row is None else self._known(row)

    def _known(self, row: Row[Any]) -> Conversation:
        """One row is one object: asked twice, the same conversation comes back."""
        known = self._loaded.get(row.id)
        return known[0] if known else self._remember(row)

    def _remember(self, row: Row[Any]) -> Conversation:
        conversation = _conversation(row)
        self._loaded[conversation.id] = (conversation, _columns(conversation))
        return conversation

    def _mine(self, conversation_id: ConversationId) -> tuple[Any, Any]:
        return (
            conversations.c.tenant_id == self._tenant_id,
            conversations.c.id == conversation_id,
        )

    def _key(self, conversation_id: ConversationId) -> dict[str, Any]:
        return {"tenant": self._tenant_id, "conversation": conversation_id}

    def _held(self, lease: Lease) -> dict[str, Any]:
        return {"epoch": lease.epoch, "worker": lease.worker, **self._key(lease.conversation_id)}


@lru_cache(maxsize=128)
def _change(names: tuple[str, ...]) -> Any:
    """The statement that writes these columns of one conversation."""
    return _ONE.values(
        {name: bindparam(f"new_{name}", type_=conversations.c[name].type) for name in names}
    )


def _conversation(row: Row[Any]) -> Conversation:
    return Conversation(
        id=row.id,
        tenant_id=row.tenant_id,
        channel_id=row.channel_id,
        customer_id=row.customer_id,
        address=row.address,
        owner=Owner(row.owner),
        owner_epoch=row.owner_epoch,
        owner_reason=row.owner_reason,
        lease_epoch=row.lease_epoch,
        inbound_seq=row.inbound_seq,
        out_seq=row.out_seq,
        first_unanswered_at=row.first_unanswered_at,
        state=ConversationState(row.state),
        failed_turns=row.failed_turns,
        incident_since=row.incident_since,
        trouble=row.trouble,
        handover=HandOver(**row.handover) if row.handover else None,
        last_message_at=row.last_message_at,
    )


def _columns(conversation: Conversation) -> dict[str, Any]:
    """What verbs may change. The lease is not among it: only its own statements write it."""
    handover = conversation.handover
    return {
        "customer_id": conversation.customer_id,
        "address": conversation.address,
        "owner": conversation.owner.value,
        "owner_epoch": conversation.owner_epoch,
        "owner_reason": conversation.owner_reason,
        "inbound_seq": conversation.inbound_seq,
        "out_seq": conversation.out_seq,
        "first_unanswered_at": conversation.first_unanswered_at,
        "state": conversation.state.value,
        "failed_turns": conversation.failed_turns,
        "incident_since": conversation.incident_since,
        "trouble": conversation.trouble,
        "handover": None
        if handover is None
        else {
            "reason": handover.reason,
            "summary": handover.summary,
            "team": handover.team,
        },
        "last_message_at": conversation.last_message_at,
    }
