"""Conversations in PostgreSQL: the row's lock is what everything about one queues up for."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.domain.entities.conversation import (
    Conversation,
    ConversationNotFound,
    HandOver,
)
from commerce_agent.domain.repositories.conversation_repository import Lease, LeaseTaken
from commerce_agent.domain.value_objects.conversation_state import ConversationState, Owner
from commerce_agent.domain.value_objects.ids import CustomerId
from commerce_agent.infrastructure.persistence.tables import conversations
from shared.kernel.events import DomainEvent
from shared.kernel.ids import ChannelId, ConversationId, TenantId, new_id

_NOW = func.platform_now()
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
        return await self._locked(conversations.c.id == conversation_id)

    async def open(
        self, channel_id: ChannelId, customer_id: CustomerId, *, address: str
    ) -> Conversation:
        theirs = (conversations.c.channel_id == channel_id) & (
            conversations.c.customer_id == customer_id
        )
        for _ in range(_TRIES):
            found = await self._locked(theirs)
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
        mine = self._mine(conversation_id)
        epoch = await self._connection.scalar(
            update(conversations)
            .where(
                *mine,
                or_(conversations.c.lease_until.is_(None), conversations.c.lease_until <= _NOW),
            )
            .values(
                lease_owner=worker,
                lease_until=_NOW + for_,
                lease_epoch=conversations.c.lease_epoch + 1,
            )
            .returning(conversations.c.lease_epoch)
        )
        if epoch is not None:
            return Lease(conversation_id=conversation_id, worker=worker, epoch=epoch)
        row = (
            await self._connection.execute(select(conversations.c.lease_until).where(*mine))
        ).one_or_none()
        return None if row is None else LeaseTaken(row.lease_until)

    async def renew_lease(self, lease: Lease, *, for_: timedelta) -> bool:
        result = await self._connection.execute(
            update(conversations)
            .where(*self._mine(lease.conversation_id), *_held(lease))
            .values(lease_until=_NOW + for_)
        )
        return result.rowcount == 1

    async def release_lease(self, lease: Lease) -> None:
        await self._connection.execute(
            update(conversations)
            .where(*self._mine(lease.conversation_id), *_held(lease))
            .values(lease_owner=None, lease_until=None)
        )

    async def begin_commit(
        self, lease: Lease, *, owner_epoch: int, inbound_seq: int | None
    ) -> Conversation | None:
        unchanged = [
            *self._mine(lease.conversation_id),
            *_held(lease),
            conversations.c.owner == Owner.AI.value,
            conversations.c.owner_epoch == owner_epoch,
        ]
        if inbound_seq is not None:
            unchanged.append(conversations.c.inbound_seq == inbound_seq)
        row = (
            await self._connection.execute(
                update(conversations)
                .where(*unchanged)
                .values(lease_owner=None, lease_until=None)
                .returning(*conversations.c)
            )
        ).one_or_none()
        return None if row is None else self._remember(row)

    async def flush(self) -> list[DomainEvent]:
        events: list[DomainEvent] = []
        for conversation, before in self._loaded.values():
            after = _columns(conversation)
            changed = {name: value for name, value in after.items() if value != before[name]}
            if changed:
                await self._connection.execute(
                    update(conversations).where(*self._mine(conversation.id)).values(**changed)
                )
                before.update(changed)
            events += conversation.pull_events()
        return events

    def forget(self, conversation_id: ConversationId) -> list[DomainEvent]:
        """Drop a conversation that was merged away, and hand over its events."""
        conversation, _ = self._loaded.pop(conversation_id)
        return conversation.pull_events()

    async def _locked(self, condition: Any) -> Conversation | None:
        row = (
            await self._connection.execute(
                select(conversations)
                .where(conversations.c.tenant_id == self._tenant_id, condition)
                .with_for_update(key_share=True)
            )
        ).one_or_none()
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


def _held(lease: Lease) -> tuple[Any, Any]:
    return (
        conversations.c.lease_epoch == lease.epoch,
        conversations.c.lease_owner == lease.worker,
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
