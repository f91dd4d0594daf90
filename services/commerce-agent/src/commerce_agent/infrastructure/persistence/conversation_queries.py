"""Conversations as screens see them, in SQL."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from commerce_agent.application.queries.conversation_queries import (
    ConversationRow,
    MessageRow,
    ReplyNotFound,
    StepRow,
    TurnRow,
)
from commerce_agent.application.queries.page import (
    Page,
    checked_limit,
    decode_cursor,
    encode_cursor,
    page_of,
)
from commerce_agent.domain.entities.conversation import ConversationNotFound
from commerce_agent.domain.services.message_text import describe
from commerce_agent.domain.value_objects.conversation_state import ConversationState, Owner
from commerce_agent.domain.value_objects.ids import CustomerId, ReplyId, TurnId
from commerce_agent.infrastructure.persistence.turn_scenes import PLACE
from shared.kernel.ids import ChannelId, ConversationId, TenantId
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_PREVIEW = 120

_THREAD = """
    SELECT m.id, m.direction, CASE m.direction WHEN 'in' THEN 'customer' ELSE 'phone' END AS by,
           m.kind, m.content_type, m.body AS text, m.content,
           CASE WHEN m.direction = 'in' THEN coalesce(m.answered_how, 'waiting') ELSE 'sent' END
               AS state,
           CAST(m.content->>'ack' AS smallint) AS ack, m.native_id, m.reply_to,
           m.answered_by AS reply_id, NULL AS author, NULL AS error_code, m.recovered,
           m.sent_at AS at, m.edited_at, m.revoked_at, {place} AS place
    FROM messages m WHERE m.tenant_id = :tenant AND m.conversation_id = {conversation}
    UNION ALL
    SELECT s.id, 'out',
           CASE s.kind WHEN 'ai' THEN 'ai' WHEN 'staff' THEN 'staff' ELSE 'platform' END,
           'message', coalesce(s.media->>'type', 'text'), s.body, coalesce(s.media, '{{}}'),
           s.state, s.ack, coalesce(s.native_id, s.echoed_id), s.reply_to, s.reply_id, s.author,
           s.error_code, false, s.created_at, NULL, NULL, s.created_at
    FROM sends s WHERE s.tenant_id = :tenant AND s.conversation_id = {conversation}
"""


def _thread(conversation: str) -> str:
    """Both sides of one conversation; ``place`` orders them."""
    return _THREAD.format(conversation=conversation, place=PLACE.format(m="m."))


_MESSAGES = text(
    f"""
    SELECT * FROM ({_thread(":conversation")}) AS thread
    WHERE (place, id) < (:at, :id) ORDER BY place DESC, id DESC LIMIT :limit
    """  # noqa: S608 - only our own column names are put in
)
# The page is cut before anything is joined to it: a preview is looked up for what is shown only.
_CONVERSATIONS = f"""
    SELECT c.id, c.channel_id, c.customer_id, k.name AS customer_name, k.phone AS customer_phone,
           c.address, c.owner, c.owner_reason, c.state, c.trouble, c.handover,
           c.first_unanswered_at, c.last_message_at, c.version, c.created_at,
           (SELECT count(*) FROM messages m WHERE m.tenant_id = c.tenant_id
            AND m.conversation_id = c.id AND m.direction = 'in' AND m.answered_how IS NULL)
               AS unanswered,
           last.body AS last_body, last.content_type AS last_type, last.content AS last_content
    FROM ({{page}}) AS c
    JOIN customers k ON k.tenant_id = c.tenant_id AND k.id = c.customer_id
    LEFT JOIN LATERAL (
        (SELECT m.body, m.content_type, m.content, {PLACE.format(m="m.")} AS place
         FROM messages m WHERE m.tenant_id = c.tenant_id AND m.conversation_id = c.id
           AND m.kind = 'message' AND m.revoked_at IS NULL
         ORDER BY m.received_at DESC LIMIT 1)
        UNION ALL
        (SELECT s.body, coalesce(s.media->>'type', 'text'), coalesce(s.media, '{{{{}}}}'),
                s.created_at
         FROM sends s WHERE s.tenant_id = c.tenant_id AND s.conversation_id = c.id
           AND s.state <> 'cancelled'
         ORDER BY s.seq DESC LIMIT 1)
        ORDER BY place DESC LIMIT 1
    ) AS last ON true
"""  # noqa: S608 - only our own column names are put in
_ONE = text(
    _CONVERSATIONS.format(
        page="SELECT * FROM conversations WHERE tenant_id = :tenant AND id = :conversation"
    )
)
_LATEST_FIRST = """
    SELECT * FROM conversations WHERE tenant_id = :tenant
      AND (CAST(:owner AS text) IS NULL OR owner = :owner)
      AND (coalesce(last_message_at, CAST(:never AS timestamptz)), id) < (:at, :id)
    ORDER BY coalesce(last_message_at, CAST(:never AS timestamptz)) DESC, id DESC LIMIT :limit
"""
_PAGE = text(
    _CONVERSATIONS.format(page=_LATEST_FIRST)
    + " ORDER BY coalesce(c.last_message_at, CAST(:never AS timestamptz)) DESC, c.id DESC"
)
_TURN = text(
    """
    SELECT * FROM turns WHERE tenant_id = :tenant AND id = coalesce(
        (SELECT id FROM turns WHERE tenant_id = :tenant AND reply_id = :reply LIMIT 1),
        (SELECT turn_id FROM sends WHERE tenant_id = :tenant AND reply_id = :reply
         AND turn_id IS NOT NULL LIMIT 1))
    """
)
_STEPS = text(
    "SELECT * FROM turn_steps WHERE tenant_id = :tenant AND turn_id = :turn ORDER BY step, call"
)
_START = {"at": datetime(9999, 1, 1, tzinfo=UTC), "id": UUID(int=2**128 - 1)}


class SqlConversationQueries:
    """Answers `ConversationQueries`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant_id: TenantId, conversation_id: ConversationId) -> ConversationRow:
        async with Transaction(self._database, tenant_id) as tx:
            row = (
                (
                    await tx.connection.execute(
                        _ONE, {"tenant": tenant_id, "conversation": conversation_id}
                    )
                )
                .mappings()
                .one_or_none()
            )
        if row is None:
            raise ConversationNotFound
        return _conversation(row)

    async def list(
        self,
        tenant_id: TenantId,
        *,
        limit: int = 50,
        cursor: str | None = None,
        owner: Owner | None = None,
    ) -> Page[ConversationRow]:
        limit = checked_limit(limit)
        values = {
            "tenant": tenant_id,
            "owner": owner.value if owner else None,
            "never": _NEVER,
            "limit": limit + 1,
            **_position(cursor),
        }
        async with Transaction(self._database, tenant_id) as tx:
            rows = (await tx.connection.execute(_PAGE, values)).mappings().all()
        return page_of(
            [_conversation(row) for row in rows],
            limit,
            lambda row: encode_cursor(at=(row.last_message_at or _NEVER).isoformat(), id=row.id),
        )

    async def messages(
        self,
        tenant_id: TenantId,
        conversation_id: ConversationId,
        *,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[MessageRow]:
        limit = checked_limit(limit)
        values = {"tenant": tenant_id, "conversation": conversation_id, "limit": limit + 1}
        position = _position(cursor)
        await self.get(tenant_id, conversation_id)
        async with Transaction(self._database, tenant_id) as tx:
            rows = (await tx.connection.execute(_MESSAGES, values | position)).mappings().all()
        page = page_of(
            rows, limit, lambda row: encode_cursor(at=row["place"].isoformat(), id=row["id"])
        )
        return Page(tuple(_message(row) for row in page.data), page.next_cursor)

    async def why(self, tenant_id: TenantId, reply_id: ReplyId) -> TurnRow:
        async with Transaction(self._database, tenant_id) as tx:
            turn = (
                (await tx.connection.execute(_TURN, {"tenant": tenant_id, "reply": reply_id}))
                .mappings()
                .one_or_none()
            )
            if turn is None:
                raise ReplyNotFound
            steps = (
                (await tx.connection.execute(_STEPS, {"tenant": tenant_id, "turn": turn["id"]}))
                .mappings()
                .all()
            )
        return _turn(turn, tuple(_step(step) for step in steps))


def _position(cursor: str | None) -> dict[str, Any]:
    if cursor is None:
        return _START
    return decode_cursor(cursor, at=_moment, id=UUID)


def _moment(written: str) -> datetime:
    """Raises ValueError, OverflowError: no moment, or one that no database has."""
    moment = datetime.fromisoformat(written)
    if moment.tzinfo is None:
        raise ValueError("a moment has a zone")
    return moment.astimezone(UTC)


def _conversation(row: Mapping[Any, Any]) -> ConversationRow:
    preview = None
    if row["last_type"] is not None:
        preview = describe(row["last_type"], row["last_body"], row["last_content"])[:_PREVIEW]
    return ConversationRow(
        id=ConversationId(row["id"]),
        channel_id=ChannelId(row["channel_id"]),
        customer_id=CustomerId(row["customer_id"]),
        customer_name=row["customer_name"],
        customer_phone=row["customer_phone"],
        address=row["address"],
        owner=Owner(row["owner"]),
        owner_reason=row["owner_reason"],
        state=ConversationState(row["state"]),
        trouble=row["trouble"],
        handover=row["handover"],
        unanswered=row["unanswered"],
        first_unanswered_at=row["first_unanswered_at"],
        last_message_at=row["last_message_at"],
        last_text=preview,
        version=row["version"],
        created_at=row["created_at"],
    )


def _message(row: Mapping[Any, Any]) -> MessageRow:
    return MessageRow(
        id=row["id"],
        direction=row["direction"],
        by=row["by"],
        kind=row["kind"],
        content_type=row["content_type"],
        text=row["text"],
        content=row["content"],
        state=row["state"],
        ack=row["ack"],
        native_id=row["native_id"],
        reply_to=row["reply_to"],
        reply_id=ReplyId(row["reply_id"]) if row["reply_id"] else None,
        author=row["author"],
        error_code=row["error_code"],
        recovered=row["recovered"],
        at=row["at"],
        edited_at=row["edited_at"],
        revoked_at=row["revoked_at"],
    )


def _step(row: Mapping[Any, Any]) -> StepRow:
    return StepRow(
        step=row["step"],
        call=row["call"],
        kind=row["kind"],
        name=row["name"],
        body=row["body"],
        result=row["result"],
        milliseconds=row["milliseconds"],
        at=row["created_at"],
    )


def _turn(row: Mapping[Any, Any], steps: tuple[StepRow, ...]) -> TurnRow:
    return TurnRow(
        id=TurnId(row["id"]),
        conversation_id=ConversationId(row["conversation_id"]),
        state=row["state"],
        outcome=row["outcome"],
        reply_id=ReplyId(row["reply_id"]) if row["reply_id"] else None,
        discards=row["discards"],
        llm_config_name=row["llm_config_name"],
        model=row["model"],
        prompt_version=row["prompt_version"],
        tokens_in=row["tokens_in"],
        tokens_out=row["tokens_out"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        steps=steps,
    )
