"""Two conversations on one channel that turn out to be one person's become one."""

from sqlalchemy import delete, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.domain.entities.conversation import Conversation
from commerce_agent.domain.value_objects.conversation_state import Owner
from commerce_agent.infrastructure.persistence.tables import conversations
from shared.kernel.ids import TenantId
from shared.persistence.tables import queue_messages

# Bubbles of the conversation that goes follow those of the one that stays. Those that may still
# leave are moved to the new owner's epoch only where they were allowed to leave before.
_SENDS = text(
    """
    WITH moved AS (
        UPDATE sends s SET conversation_id = :kept, seq = n.seq,
            owner_epoch = CASE WHEN s.owner_epoch = :gone_epoch THEN :new_epoch
                               ELSE s.owner_epoch END
        FROM (SELECT id, :out_seq + row_number() OVER (ORDER BY seq) AS seq FROM sends
              WHERE tenant_id = :tenant AND conversation_id = :gone) n
        WHERE s.tenant_id = :tenant AND s.id = n.id RETURNING s.id, s.seq
    ), lined_up AS (
        UPDATE queue_messages q SET ordering_key = :kept_key, position = moved.seq
        FROM moved WHERE q.tenant_id = :tenant AND q.queue = 'wa_messages' AND q.kind = 'send'
          AND q.key = moved.id::text
    )
    SELECT count(*) FROM moved
    """
)
_KEPT_SENDS = text(
    """
    UPDATE sends SET owner_epoch = :new_epoch
    WHERE tenant_id = :tenant AND conversation_id = :kept AND owner_epoch = :kept_epoch
    """
)
_MESSAGES = text(
    """
    WITH numbered AS (
        SELECT id, :inbound_seq + row_number() OVER (ORDER BY seq) AS seq FROM messages
        WHERE tenant_id = :tenant AND conversation_id = :gone AND seq IS NOT NULL
    ), moved AS (
        UPDATE messages m SET conversation_id = :kept,
            seq = (SELECT n.seq FROM numbered n WHERE n.id = m.id)
        WHERE m.tenant_id = :tenant AND m.conversation_id = :gone
    )
    SELECT count(*) FROM numbered
    """
)
# Both may be in the middle of a turn: the journals are read one after the other, no effect is lost.
_STEPS = text(
    """
    UPDATE turn_steps s
    SET turn_id = k.id, step = s.step + 1 + coalesce(
        (SELECT max(step) FROM turn_steps t WHERE t.tenant_id = :tenant AND t.turn_id = k.id), -1)
    FROM turns k, turns g
    WHERE s.tenant_id = :tenant AND s.turn_id = g.id
      AND g.tenant_id = :tenant AND g.conversation_id = :gone AND g.state = 'open'
      AND k.tenant_id = :tenant AND k.conversation_id = :kept AND k.state = 'open'
    """
)
_CLOSE_SECOND = text(
    """
    UPDATE turns SET state = 'ended', outcome = 'merged', ended_at = platform_now()
    WHERE tenant_id = :tenant AND conversation_id = :gone AND state = 'open'
      AND EXISTS (SELECT FROM turns k WHERE k.tenant_id = :tenant
                  AND k.conversation_id = :kept AND k.state = 'open')
    """
)
_TURNS = text(
    "UPDATE turns SET conversation_id = :kept WHERE tenant_id = :tenant AND conversation_id = :gone"
)
_STRENGTH = {Owner.AI: 0, Owner.PAUSED: 1, Owner.PERSON: 2}


async def fold(
    connection: AsyncConnection, tenant_id: TenantId, kept: Conversation, gone: Conversation
) -> None:
    """Move everything of ``gone`` into ``kept`` and delete it. Both rows are locked.

    Workers in either are fenced. Whoever is the stronger owner (a person, then a pause) stays.
    """
    owner = max(kept, gone, key=lambda conversation: _STRENGTH[conversation.owner])
    new_epoch = max(kept.owner_epoch, gone.owner_epoch) + 1
    names = {
        "tenant": tenant_id,
        "kept": kept.id,
        "gone": gone.id,
        "kept_key": str(kept.id),
        "new_epoch": new_epoch,
        "kept_epoch": kept.owner_epoch,
        "gone_epoch": gone.owner_epoch,
        "out_seq": kept.out_seq,
        "inbound_seq": kept.inbound_seq,
    }
    for statement in (_KEPT_SENDS, _STEPS, _CLOSE_SECOND, _TURNS):
        await connection.execute(statement, names)
    kept.out_seq += (await connection.execute(_SENDS, names)).scalar_one()
    kept.inbound_seq += (await connection.execute(_MESSAGES, names)).scalar_one()
    kept.owner, kept.owner_reason, kept.owner_epoch = owner.owner, owner.owner_reason, new_epoch
    waiting = [m for m in (kept.first_unanswered_at, gone.first_unanswered_at) if m is not None]
    kept.first_unanswered_at = min(waiting, default=None)
    if gone.last_message_at is not None:
        kept.see(gone.last_message_at)
    await _remove(connection, tenant_id, kept, gone)


async def _remove(
    connection: AsyncConnection, tenant_id: TenantId, kept: Conversation, gone: Conversation
) -> None:
    await connection.execute(
        delete(queue_messages).where(
            queue_messages.c.tenant_id == tenant_id,
            queue_messages.c.kind == "conversation.turn",
            queue_messages.c.key == str(gone.id),
        )
    )
    await connection.execute(
        delete(conversations).where(
            conversations.c.tenant_id == tenant_id, conversations.c.id == gone.id
        )
    )
    await connection.execute(
        update(conversations)
        .where(conversations.c.tenant_id == tenant_id, conversations.c.id == kept.id)
        .values(lease_owner=None, lease_until=None, lease_epoch=conversations.c.lease_epoch + 1)
    )
