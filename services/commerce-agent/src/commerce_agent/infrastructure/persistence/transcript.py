"""The settled past of a conversation, read from both sides' tables."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.application.ports.shop_agent import Said
from commerce_agent.domain.services.message_text import describe
from shared.kernel.ids import ConversationId, TenantId

PLACE = "least({m}sent_at + interval '999 ms', greatest({m}sent_at, {m}received_at))"
"""When a customer's message was said, among our own: WhatsApp tells whole seconds, so within that
second the moment of arrival decides."""

_RECENT = text(
    f"""
    SELECT * FROM (
        (SELECT CASE direction WHEN 'in' THEN 'customer' ELSE 'staff' END AS by, content_type,
                body, content, {PLACE.format(m="")} AS at, coalesce(inbox_sequence, 0) AS tie
         FROM messages
         WHERE tenant_id = :tenant AND conversation_id = :conversation AND kind = 'message'
           AND revoked_at IS NULL AND (direction = 'out' OR answered_how IS NOT NULL)
         ORDER BY sent_at DESC, inbox_sequence DESC NULLS LAST LIMIT :limit)
        UNION ALL
        (SELECT CASE kind WHEN 'staff' THEN 'staff' ELSE 'ai' END, 'text', body,
                coalesce(media, '{{}}'), created_at, seq
         FROM sends
         WHERE tenant_id = :tenant AND conversation_id = :conversation AND kind <> 'holding'
           AND state NOT IN ('failed', 'cancelled')
         ORDER BY seq DESC LIMIT :limit)
    ) AS said ORDER BY at DESC, tie DESC LIMIT :limit
    """  # noqa: S608 - only our own column names are put in
)
_STAMP = text(
    """
    SELECT concat_ws('.', c.inbound_seq, c.out_seq,
        (SELECT concat_ws('.', count(*) FILTER (WHERE answered_how IS NOT NULL),
                          count(*) FILTER (WHERE revoked_at IS NOT NULL), count(*),
                          extract(epoch FROM max(edited_at)))
         FROM messages m WHERE m.tenant_id = c.tenant_id AND m.conversation_id = c.id),
        (SELECT count(*) FROM sends s WHERE s.tenant_id = c.tenant_id
         AND s.conversation_id = c.id AND s.state IN ('failed', 'cancelled')))
    FROM conversations c WHERE c.tenant_id = :tenant AND c.id = :conversation
    """
)


class SqlTranscript:
    """Keeps the promises of `Transcript`."""

    def __init__(self, connection: AsyncConnection, tenant_id: TenantId) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def recent(self, conversation_id: ConversationId, *, limit: int) -> tuple[Said, ...]:
        rows = await self._connection.execute(
            _RECENT, {"tenant": self._tenant_id, "conversation": conversation_id, "limit": limit}
        )
        said = [
            Said(by=row.by, text=describe(row.content_type, row.body, row.content), at=row.at)
            for row in rows
        ]
        return tuple(reversed([one for one in said if one.text]))

    async def stamp(self, conversation_id: ConversationId) -> str:
        stamp: str | None = await self._connection.scalar(
            _STAMP, {"tenant": self._tenant_id, "conversation": conversation_id}
        )
        return stamp or ""
