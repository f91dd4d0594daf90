"""Work whose queue row is gone is found and made due again. Any number of sweepers may run: making
due what is due already only looks at it once more."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, TextClause, text

from commerce_agent.application.services.repair_tasks import repair_task
from commerce_agent.application.services.turn_tasks import turn_task
from commerce_agent.infrastructure.persistence.inbox import inbox_task
from commerce_agent.infrastructure.persistence.sends import send_task
from shared.jobs import callback_task
from shared.kernel.ids import ChannelId, ConversationId, InboxId, SendId, TenantId
from shared.messaging.port import Task
from shared.persistence.database import Database, SystemRole, system_transaction
from shared.persistence.unit_of_work import Transaction

_MOST: Final = 500
_INBOX = text(
    """
    SELECT i.tenant_id, i.id, i.source FROM inbox_events i JOIN tenants t ON t.id = i.tenant_id
    WHERE i.state = 'received' AND i.received_at < platform_now() - interval '30 seconds'
      AND NOT EXISTS (SELECT FROM queue_messages q WHERE q.tenant_id = i.tenant_id
                      AND q.queue = 'crm_tasks' AND q.kind = 'inbox.' || i.source
                      AND q.key = i.id::text)
    ORDER BY i.tenant_id, i.received_at LIMIT :most
    """
)
_TURNS = text(
    """
    SELECT c.tenant_id, c.id FROM conversations c
    WHERE c.owner = 'ai' AND c.first_unanswered_at < platform_now() - interval '30 seconds'
      AND (c.lease_until IS NULL OR c.lease_until < platform_now())
      AND NOT EXISTS (SELECT FROM queue_messages q WHERE q.tenant_id = c.tenant_id
                      AND q.queue = 'crm_tasks' AND q.kind = 'conversation.turn'
                      AND q.key = c.id::text)
    ORDER BY c.tenant_id, c.first_unanswered_at LIMIT :most
    """
)
_SENDS = text(
    """
    SELECT s.tenant_id, s.id, s.conversation_id, s.seq FROM sends s
    WHERE s.state IN ('pending', 'sending', 'unknown')
      AND s.created_at < platform_now() - interval '30 seconds'
      AND NOT EXISTS (SELECT FROM queue_messages q WHERE q.tenant_id = s.tenant_id
                      AND q.queue = 'wa_messages' AND q.kind = 'send' AND q.key = s.id::text)
    ORDER BY s.tenant_id, s.conversation_id, s.seq LIMIT :most
    """
)
_CALLBACKS = text(
    """
    SELECT d.tenant_id, d.job_id FROM webhook_deliveries d
    WHERE d.state = 'pending' AND d.next_at < platform_now() - interval '30 seconds'
      AND NOT EXISTS (SELECT FROM queue_messages q WHERE q.tenant_id = d.tenant_id
                      AND q.queue = 'crm_tasks' AND q.kind = 'webhook.deliver'
                      AND q.key = 'job:' || d.job_id)
    ORDER BY d.tenant_id, d.next_at LIMIT :most
    """
)
_CHANNELS = text(
    "SELECT c.tenant_id, c.id FROM channels c JOIN tenants t ON t.id = c.tenant_id"
    " WHERE c.kind = 'waha' AND c.active AND t.status = 'active' ORDER BY c.tenant_id, c.id"
)


class SqlSweeper:
    """Looks across tenants in the role that sees ids and due columns; writes as each tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def restore_lost_work(self) -> int:
        """Make due what waits in the inbox, unanswered, unsent or untold without a queue row.
        Returns how much was found."""
        found = [
            *[
                (row.tenant_id, inbox_task(InboxId(row.id), row.source))
                for row in await self._find(_INBOX)
            ],
            *[
                (row.tenant_id, turn_task(ConversationId(row.id)))
                for row in await self._find(_TURNS)
            ],
            *[
                (row.tenant_id, send_task(SendId(row.id), row.conversation_id, row.seq))
                for row in await self._find(_SENDS)
            ],
            *[(row.tenant_id, callback_task(row.job_id)) for row in await self._find(_CALLBACKS)],
        ]
        await self._make_due(found)
        return len(found)

    async def look_after_channels(self) -> int:
        """Have every WAHA channel looked at: what our own outage missed is announced by nobody."""
        found = [
            (row.tenant_id, repair_task(ChannelId(row.id))) for row in await self._find(_CHANNELS)
        ]
        await self._make_due(found)
        return len(found)

    async def _find(self, query: TextClause) -> Sequence[Row[Any]]:
        async with system_transaction(self._database, SystemRole.SWEEPER) as connection:
            return (await connection.execute(query, {"most": _MOST})).all()

    async def _make_due(self, found: Sequence[tuple[UUID, Task]]) -> None:
        """Each in a transaction of its own: holding several queue rows at once could deadlock with
        those who finish them."""
        for tenant_id, task in found:
            async with Transaction(self._database, TenantId(tenant_id)) as tx:
                await tx.enqueue(task)
                await tx.commit()
