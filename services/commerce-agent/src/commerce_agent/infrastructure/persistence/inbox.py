"""The inbox in PostgreSQL, from the reading side."""

import hashlib

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from commerce_agent.application.ports.inbox import (
    GAP_REPAIR,
    ORIGIN_HEADER,
    Arrival,
    InboxState,
)
from shared.kernel.ids import ChannelId, InboxId, new_id
from shared.messaging.port import Queue, Task
from shared.persistence.tables import inbox_events
from shared.persistence.unit_of_work import Transaction

_WAHA = "waha"


class SqlInbox:
    """Keeps the promises of `Inbox`."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def find(self, inbox_id: InboxId) -> Arrival | None:
        row = (
            await self._tx.connection.execute(
                select(inbox_events).where(
                    inbox_events.c.tenant_id == self._tx.tenant_id, inbox_events.c.id == inbox_id
                )
            )
        ).one_or_none()
        if row is None:
            return None
        return Arrival(
            id=row.id,
            sequence=row.sequence,
            endpoint_id=row.endpoint_id,
            body=row.body,
            headers=row.headers,
            received_at=row.received_at,
            is_settled=row.state != "received",
        )

    async def settle(self, inbox_id: InboxId, state: InboxState, reason: str | None = None) -> bool:
        result = await self._tx.connection.execute(
            update(inbox_events)
            .where(
                inbox_events.c.tenant_id == self._tx.tenant_id,
                inbox_events.c.id == inbox_id,
                inbox_events.c.state == "received",
            )
            .values(state=state.value, reason=reason, processed_at=func.platform_now())
        )
        return result.rowcount == 1

    async def put(self, endpoint_id: ChannelId, body: bytes) -> bool:
        inbox_id = InboxId(new_id())
        result = await self._tx.connection.execute(
            insert(inbox_events)
            .values(
                id=inbox_id,
                tenant_id=self._tx.tenant_id,
                source=_WAHA,
                endpoint_id=endpoint_id,
                body=body,
                body_sha256=hashlib.sha256(body).digest(),
                headers={ORIGIN_HEADER: GAP_REPAIR},
            )
            .on_conflict_do_nothing(
                index_elements=["tenant_id", "source", "endpoint_id", "body_sha256"]
            )
        )
        if result.rowcount != 1:
            return False
        await self._tx.enqueue(inbox_task(inbox_id, _WAHA))
        return True


def inbox_task(inbox_id: InboxId, source: str) -> Task:
    """The work that an event waiting in the inbox is."""
    return Task(queue=Queue.CRM_TASKS, kind=f"inbox.{source}", key=str(inbox_id))
