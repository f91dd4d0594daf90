"""Bubbles that leave, as the commerce agent writes them; the messenger does the rest."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import JSONB

from commerce_agent.application.ports.send_store import Bubble, EchoedSend, SendKind
from commerce_agent.domain.entities.conversation import Conversation
from commerce_agent.domain.value_objects.ids import ReplyId, TurnId
from shared.kernel.ids import ChannelId, ConversationId, SendId, new_id
from shared.messaging.port import Queue, Task
from shared.persistence.tables import sends
from shared.persistence.unit_of_work import Transaction

SEND_TASK = "send"

_ADD = text(
    """
    INSERT INTO sends (tenant_id, channel_id, conversation_id, kind, reply_id, turn_id, author,
                       owner_epoch, id, seq, body, media, reply_to)
    SELECT :tenant, :channel, :conversation, :kind, :reply, :turn, :author, :owner_epoch,
           b.id, b.seq, b.body, b.media, b.reply_to
    FROM jsonb_to_recordset(:bubbles) AS b (
        id uuid, seq bigint, body text, media jsonb, reply_to text)
    """
).bindparams(bindparam("bubbles", type_=JSONB))

# Evidence is kept in any case. The state ends only when no call can be running any more: unknown
# past the window of the last claim, or back in line to be repeated.
_ECHO = """
    UPDATE sends SET
        echoed_id = coalesce(echoed_id, :native),
        native_id = CASE WHEN {over} THEN coalesce(native_id, :native) ELSE native_id END,
        ended_at = CASE WHEN {over} THEN platform_now() ELSE ended_at END,
        state = CASE WHEN {over} THEN 'sent' ELSE state END
    WHERE tenant_id = :tenant AND id = (
        SELECT id FROM sends WHERE tenant_id = :tenant AND {which} ORDER BY seq LIMIT 1 FOR UPDATE
    )
    RETURNING id, conversation_id
"""
_OVER = """(
    (state IN ('sending', 'unknown') AND claimed_at < platform_now() - CAST(:window AS interval))
    OR (state = 'pending' AND resent)
)"""
_BY_ID = "channel_id = :channel AND :native IN (reserved_id, native_id, echoed_id)"
_BY_TEXT = r"""
    conversation_id = :conversation AND echoed_id IS NULL
    AND regexp_replace(btrim(body), '\s+', ' ', 'g')
      = regexp_replace(btrim(CAST(:text AS text)), '\s+', ' ', 'g')
    AND (
        state IN ('sending', 'unknown') OR (state = 'pending' AND resent)
        OR unknown_since > platform_now() - CAST(:memory AS interval)
        OR (state = 'sent' AND native_id IS NULL
            AND ended_at > platform_now() - CAST(:memory AS interval))
    )
"""
_ECHO_BY_ID = text(_ECHO.format(over=_OVER, which=_BY_ID))
_ECHO_BY_TEXT = text(_ECHO.format(over=_OVER, which=_BY_TEXT))
_WITHDRAW = text(
    """
    UPDATE sends SET state = 'cancelled', error_code = :code, ended_at = platform_now()
    WHERE tenant_id = :tenant AND reply_id = :reply AND kind = 'ai' AND state = 'pending'
      AND NOT EXISTS (SELECT FROM sends e WHERE e.tenant_id = sends.tenant_id
                      AND e.reply_id = sends.reply_id AND e.claim_no > 0)
    RETURNING id
    """
)
_TAKE_BACK = text("SELECT take_back_reply(:tenant, :conversation, :reply)")


class SqlSendStore:
    """Keeps the promises of `SendStore`."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._connection = tx.connection
        self._tenant_id = tx.tenant_id

    async def add(
        self,
        conversation: Conversation,
        bubbles: Sequence[Bubble],
        *,
        kind: SendKind,
        reply_id: ReplyId,
        turn_id: TurnId | None = None,
        author: str | None = None,
        reply_to: str | None = None,
    ) -> list[SendId]:
        rows: list[dict[str, Any]] = [
            {
                "id": SendId(new_id()),
                "seq": conversation.next_send(),
                "body": bubble.body,
                "media": bubble.media and dict(bubble.media),
                "reply_to": reply_to if number == 0 else None,
            }
            for number, bubble in enumerate(bubbles)
        ]
        values = {
            "tenant": self._tenant_id,
            "channel": conversation.channel_id,
            "conversation": conversation.id,
            "kind": kind.value,
            "reply": reply_id,
            "turn": turn_id,
            "author": author,
            "owner_epoch": conversation.owner_epoch,
            "bubbles": rows,
        }
        await self._connection.execute(_ADD, values)
        for row in rows:
            await self._tx.enqueue(send_task(row["id"], conversation.id, row["seq"]))
        return [row["id"] for row in rows]

    async def withdraw(self, conversation_id: ConversationId, reply_id: ReplyId) -> bool:
        values = {"tenant": self._tenant_id, "reply": reply_id, "code": "edited"}
        cancelled = (await self._connection.execute(_WITHDRAW, values)).all()
        if not cancelled:
            return False
        await self._connection.execute(
            _TAKE_BACK,
            {"tenant": self._tenant_id, "conversation": conversation_id, "reply": reply_id},
        )
        self._tx.will_wake(Queue.CRM_TASKS)
        return True

    async def acknowledge(
        self, channel_id: ChannelId, native_id: str, ack: int
    ) -> list[EchoedSend]:
        rows = await self._connection.execute(
            update(sends)
            .where(
                sends.c.tenant_id == self._tenant_id,
                sends.c.channel_id == channel_id,
                or_(
                    sends.c.native_id == native_id,
                    sends.c.reserved_id == native_id,
                    sends.c.echoed_id == native_id,
                ),
            )
            .values(ack=func.greatest(func.coalesce(sends.c.ack, ack), ack))
            .returning(sends.c.id, sends.c.conversation_id)
        )
        return [EchoedSend(id=row.id, conversation_id=row.conversation_id) for row in rows]

    async def find_conversation(
        self, channel_id: ChannelId, native_id: str
    ) -> ConversationId | None:
        found: ConversationId | None = await self._connection.scalar(
            select(sends.c.conversation_id)
            .where(
                sends.c.tenant_id == self._tenant_id,
                sends.c.channel_id == channel_id,
                or_(
                    sends.c.native_id == native_id,
                    sends.c.reserved_id == native_id,
                    sends.c.echoed_id == native_id,
                ),
            )
            .limit(1)
        )
        return found

    async def echo(
        self, channel_id: ChannelId, native_id: str, *, call_window: timedelta
    ) -> EchoedSend | None:
        return await self._echoed(
            _ECHO_BY_ID, native=native_id, channel=channel_id, window=call_window
        )

    async def echo_by_text(
        self,
        conversation_id: ConversationId,
        native_id: str,
        text: str,
        *,
        call_window: timedelta,
        memory: timedelta,
    ) -> EchoedSend | None:
        return await self._echoed(
            _ECHO_BY_TEXT,
            native=native_id,
            conversation=conversation_id,
            text=text,
            window=call_window,
            memory=memory,
        )

    async def _echoed(self, statement: Any, **values: Any) -> EchoedSend | None:
        row = (
            await self._connection.execute(statement, {"tenant": self._tenant_id, **values})
        ).one_or_none()
        if row is None:
            return None

        return EchoedSend(id=row.id, conversation_id=row.conversation_id)


def send_task(send_id: SendId, conversation_id: ConversationId, seq: int) -> Task:
    """The messenger's work for one bubble; of one conversation only the first is claimable."""
    return Task(
        queue=Queue.WA_MESSAGES,
        kind=SEND_TASK,
        key=str(send_id),
        ordering_key=str(conversation_id),
        position=seq,
    )
