"""Scenes in one statement: a turn pays for round trips before anything else."""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.application.ports.message_store import Waiting
from commerce_agent.application.ports.shop_agent import CustomerCard, Said
from commerce_agent.application.ports.turn_scene import Scene
from commerce_agent.application.ports.turn_store import OpenTurn
from commerce_agent.domain.entities.conversation import Conversation
from commerce_agent.domain.services.message_text import describe
from commerce_agent.domain.services.turn_rules import REPLIES_WITHIN
from commerce_agent.domain.value_objects.ids import MessageId, TurnId
from commerce_agent.infrastructure.persistence.journal_codec import handle_from_json
from commerce_agent.infrastructure.persistence.tenant_repository import to_tenant
from shared.kernel.ids import TenantId

_TURNS_WITHIN: Final = timedelta(hours=1)

PLACE = "least({m}sent_at + interval '999 ms', greatest({m}sent_at, {m}received_at))"
"""When a customer's message was said, among our own: WhatsApp tells whole seconds, so within that
second the moment of arrival decides."""

_HISTORY = f"""
    SELECT jsonb_agg(jsonb_build_array(by, content_type, body, content, at) ORDER BY at, tie)
    FROM (
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
    ) AS last
"""  # noqa: S608 - only our own column names are put in
_STAMP = """
    SELECT concat_ws('.', c.inbound_seq, c.out_seq,
        (SELECT concat_ws('.', count(*) FILTER (WHERE answered_how IS NOT NULL),
                          count(*) FILTER (WHERE revoked_at IS NOT NULL), count(*),
                          extract(epoch FROM max(edited_at)))
         FROM messages m WHERE m.tenant_id = c.tenant_id AND m.conversation_id = c.id),
        (SELECT count(*) FROM sends s WHERE s.tenant_id = c.tenant_id
         AND s.conversation_id = c.id AND s.state IN ('failed', 'cancelled')))
    FROM conversations c WHERE c.tenant_id = :tenant AND c.id = :conversation
"""
_WAITING = """
    SELECT jsonb_agg(jsonb_build_array(id, content_type, body, content, reply_to, sent_at)
                     ORDER BY sent_at, inbox_sequence, id)
    FROM messages
    WHERE tenant_id = :tenant AND conversation_id = :conversation
      AND direction = 'in' AND answered_how IS NULL
"""
_RECENT_REPLIES = """
    SELECT count(DISTINCT reply_id) FROM sends
    WHERE tenant_id = :tenant AND conversation_id = :conversation AND kind = 'ai'
      AND state <> 'cancelled' AND created_at > moment.now - CAST(:replies_within AS interval)
"""
_RECENT_TURNS = """
    SELECT count(*) FROM turns o
    JOIN conversations theirs ON theirs.tenant_id = o.tenant_id AND theirs.id = o.conversation_id
    WHERE o.tenant_id = :tenant AND theirs.customer_id = c.customer_id
      AND o.started_at > moment.now - CAST(:turns_within AS interval)
"""
_SCENE = text(
    f"""
    WITH moment AS MATERIALIZED (SELECT platform_now() AS now),
    stamp (value) AS MATERIALIZED ({_STAMP})
    SELECT shop.*, moment.now, stamp.value AS stamp, c.handles,
           t.id AS turn_id, t.discards,
           customer.name AS customer_name, customer.language AS customer_language,
           coalesce(customer.address, '') <> '' AS has_address, customer.note,
           ({_WAITING}) AS waiting,
           CASE WHEN stamp.value IS DISTINCT FROM CAST(:known AS text) THEN ({_HISTORY}) END
               AS history,
           ({_RECENT_REPLIES}) AS recent_replies, ({_RECENT_TURNS}) AS recent_turns
    FROM conversations c
    JOIN tenants shop ON shop.id = c.tenant_id
    JOIN customers customer ON customer.tenant_id = c.tenant_id AND customer.id = c.customer_id
    LEFT JOIN turns t
        ON t.tenant_id = c.tenant_id AND t.conversation_id = c.id AND t.state = 'open',
    moment, stamp
    WHERE c.tenant_id = :tenant AND c.id = :conversation
    """  # noqa: S608 - constants
)


class SqlScenes:
    """Keeps the promises of `Scenes`."""

    def __init__(self, connection: AsyncConnection, tenant_id: TenantId) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def read(
        self, conversation: Conversation, *, known_stamp: str | None, history: int
    ) -> Scene:
        values = {
            "tenant": self._tenant_id,
            "conversation": conversation.id,
            "known": known_stamp,
            "limit": history,
            "replies_within": REPLIES_WITHIN,
            "turns_within": _TURNS_WITHIN,
        }
        row = (await self._connection.execute(_SCENE, values)).one()
        return Scene(
            now=row.now,
            tenant=to_tenant(row._mapping),
            customer=CustomerCard(
                name=row.customer_name,
                language=row.customer_language,
                has_address=row.has_address,
                note=row.note,
            ),
            open_turn=_open_turn(row),
            waiting=tuple(_waiting(*each) for each in row.waiting or ()),
            stamp=row.stamp,
            history=None if row.stamp == known_stamp else _history(row.history or ()),
            handles=tuple(handle_from_json(handle) for handle in row.handles),
            recent_replies=row.recent_replies,
            recent_turns=row.recent_turns,
        )


def _open_turn(row: Any) -> OpenTurn | None:
    return None if row.turn_id is None else OpenTurn(id=TurnId(row.turn_id), discards=row.discards)


def _waiting(
    message_id: str, content_type: str, body: str, content: Any, reply_to: str, sent_at: str
) -> Waiting:
    return Waiting(
        id=MessageId(UUID(message_id)),
        content_type=content_type,
        body=body,
        content=content,
        reply_to=reply_to,
        sent_at=datetime.fromisoformat(sent_at),
    )


def _history(said: Any) -> tuple[Said, ...]:
    told = ((by, describe(*what), datetime.fromisoformat(at)) for by, *what, at in said)
    return tuple(Said(by=by, text=text, at=at) for by, text, at in told if text)
