"""Messages in PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, case, exists, func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.application.ports.message_store import (
    THROUGH_API,
    Answered,
    AnsweredHow,
    NewMessage,
    StoredMessage,
    Waiting,
)
from commerce_agent.domain.value_objects.ids import MessageId, ReplyId
from commerce_agent.infrastructure.persistence.tables import (
    conversations,
    message_anomalies,
    messages,
)
from shared.kernel.ids import ChannelId, ConversationId, InboxId, TenantId, new_id
from shared.persistence.tables import sends

_ORIGINAL = "original_body"
"""Where an edited message keeps what it said first."""

_WAITING = and_(messages.c.direction == "in", messages.c.answered_how.is_(None))
_UNCLAIMED = and_(
    messages.c.direction == "in",
    messages.c.answered_how == AnsweredHow.AI.value,
    exists().where(
        sends.c.tenant_id == messages.c.tenant_id,
        sends.c.reply_id == messages.c.answered_by,
        sends.c.state == "pending",
    ),
    ~exists().where(
        sends.c.tenant_id == messages.c.tenant_id,
        sends.c.reply_id == messages.c.answered_by,
        sends.c.claim_no > 0,
    ),
)
"""Answered by an AI reply of which no bubble has been claimed."""
_ANSWER = text(
    """
    WITH waiting AS MATERIALIZED (
        SELECT id, received_at FROM messages
        WHERE tenant_id = :tenant AND conversation_id = :conversation
          AND direction = 'in' AND answered_how IS NULL
    ), answered AS (
        UPDATE messages m SET answered_how = 'ai', answered_by = :reply FROM waiting w
        WHERE m.tenant_id = :tenant AND m.id = w.id AND w.id = ANY(:ids)
        RETURNING m.id
    )
    SELECT (SELECT count(*) FROM answered) AS answered,
           (SELECT min(received_at) FROM waiting WHERE id <> ALL(:ids)) AS oldest
    """
)
"""Under the conversation's lock, which everybody takes who changes these messages."""


class SqlMessageStore:
    """Keeps the promises of `MessageStore`."""

    def __init__(self, connection: AsyncConnection, tenant_id: TenantId) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def find(
        self, channel_id: ChannelId, native_id: str, *, direction: str | None = None
    ) -> StoredMessage | None:
        query = (
            select(messages, conversations.c.customer_id)
            .join(
                conversations,
                and_(
                    conversations.c.tenant_id == messages.c.tenant_id,
                    conversations.c.id == messages.c.conversation_id,
                ),
            )
            .where(
                messages.c.tenant_id == self._tenant_id,
                messages.c.channel_id == channel_id,
                messages.c.kind == "message",
                messages.c.native_id == native_id,
            )
            .order_by(messages.c.direction)
            .limit(1)
        )
        if direction is not None:
            query = query.where(messages.c.direction == direction)
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _stored(row)

    async def add(self, message: NewMessage) -> bool:
        how = message.answered_how
        result = await self._connection.execute(
            insert(messages)
            .values(
                tenant_id=self._tenant_id,
                id=message.id,
                channel_id=message.channel_id,
                conversation_id=message.conversation_id,
                direction=message.direction,
                kind=message.kind,
                native_id=message.native_id,
                sender=message.sender,
                seq=message.seq,
                content_type=message.content_type,
                body=message.body,
                content=dict(message.content),
                reply_to=message.reply_to,
                inbox_id=message.inbox_id,
                inbox_sequence=message.inbox_sequence,
                recovered=message.recovered,
                answered_how=None if how is None else how.value,
                answered_by=message.answered_by,
                sent_at=message.sent_at,
            )
            .on_conflict_do_nothing(
                index_elements=["tenant_id", "channel_id", "direction", "kind", "native_id"]
            )
        )
        return result.rowcount == 1

    async def keep_anomaly(
        self, *, channel_id: ChannelId, message_id: MessageId, inbox_id: InboxId, reason: str
    ) -> None:
        await self._connection.execute(
            insert(message_anomalies)
            .values(
                tenant_id=self._tenant_id,
                id=new_id(),
                channel_id=channel_id,
                message_id=message_id,
                inbox_id=inbox_id,
                reason=reason,
            )
            .on_conflict_do_nothing()
        )

    async def present(self, ids: Sequence[MessageId]) -> Mapping[MessageId, Waiting]:
        if not ids:
            return {}
        rows = await self._connection.execute(
            select(messages).where(
                messages.c.tenant_id == self._tenant_id,
                messages.c.id.in_(ids),
                messages.c.revoked_at.is_(None),
            )
        )
        return {row.id: _waiting(row) for row in rows}

    async def settle(
        self,
        conversation_id: ConversationId,
        how: AnsweredHow,
        *,
        by: ReplyId | None = None,
        until: datetime | None = None,
        with_unclaimed: bool = False,
    ) -> int:
        open_ones = or_(_WAITING, _UNCLAIMED) if with_unclaimed else _WAITING
        which = [*self._of(conversation_id), open_ones]
        if until is not None:
            which.append(messages.c.sent_at <= until)
        result = await self._connection.execute(
            update(messages).where(*which).values(answered_how=how.value, answered_by=by)
        )
        return result.rowcount

    async def answer(
        self, conversation_id: ConversationId, ids: Sequence[MessageId], *, by: ReplyId
    ) -> Answered:
        values = {
            "tenant": self._tenant_id,
            "conversation": conversation_id,
            "ids": list(ids),
            "reply": by,
        }
        row = (await self._connection.execute(_ANSWER, values)).one()
        return Answered(row.answered, row.oldest)

    async def typed_since(
        self, conversation_id: ConversationId, sent_at: datetime
    ) -> MessageId | None:
        found: MessageId | None = await self._connection.scalar(
            select(messages.c.id)
            .where(
                *self._of(conversation_id),
                messages.c.direction == "out",
                messages.c.kind == "message",
                messages.c.sent_at > sent_at,
                ~messages.c.content.has_key(THROUGH_API),
            )
            .order_by(messages.c.sent_at)
            .limit(1)
        )
        return found

    async def first_waiting_since(self, conversation_id: ConversationId) -> datetime | None:
        moment: datetime | None = await self._connection.scalar(
            select(func.min(messages.c.received_at)).where(*self._of(conversation_id), _WAITING)
        )
        return moment

    async def edit(self, message_id: MessageId, body: str | None, *, at: datetime) -> None:
        kept = messages.c.content.op("||")(
            case(
                (messages.c.content.has_key(_ORIGINAL), text("'{}'::jsonb")),
                else_=func.jsonb_build_object(_ORIGINAL, messages.c.body),
            )
        )
        await self._update(message_id, content=kept, body=body, edited_at=at)

    async def revoke(self, message_id: MessageId, *, at: datetime) -> None:
        await self._update(
            message_id,
            revoked_at=func.coalesce(messages.c.revoked_at, at),
            answered_how=case(
                (_WAITING, literal(AnsweredHow.REVOKED.value)), else_=messages.c.answered_how
            ),
        )

    async def set_ack(self, channel_id: ChannelId, native_id: str, ack: int) -> bool:
        level = func.greatest(
            func.coalesce(messages.c.content["ack"].as_integer(), ack), literal(ack)
        )
        result = await self._connection.execute(
            update(messages)
            .where(
                messages.c.tenant_id == self._tenant_id,
                messages.c.channel_id == channel_id,
                messages.c.direction == "out",
                messages.c.kind == "message",
                messages.c.native_id == native_id,
            )
            .values(content=messages.c.content.op("||")(func.jsonb_build_object("ack", level)))
        )
        return result.rowcount > 0

    async def _update(self, message_id: MessageId, **values: Any) -> None:
        await self._connection.execute(
            update(messages)
            .where(messages.c.tenant_id == self._tenant_id, messages.c.id == message_id)
            .values(**values)
        )

    def _of(self, conversation_id: ConversationId) -> tuple[Any, Any]:
        return (
            messages.c.tenant_id == self._tenant_id,
            messages.c.conversation_id == conversation_id,
        )


def _waiting(row: Row[Any]) -> Waiting:
    return Waiting(
        id=row.id,
        content_type=row.content_type,
        body=row.body,
        content=row.content,
        reply_to=row.reply_to,
        sent_at=row.sent_at,
    )


def _stored(row: Row[Any]) -> StoredMessage:
    return StoredMessage(
        id=row.id,
        conversation_id=row.conversation_id,
        customer_id=row.customer_id,
        direction=row.direction,
        content_type=row.content_type,
        original=row.content.get(_ORIGINAL, row.body),
        body=row.body,
        is_revoked=row.revoked_at is not None,
        answered_how=AnsweredHow(row.answered_how) if row.answered_how else None,
        answered_by=row.answered_by,
    )
