"""One tenant, one transaction: what all contexts' units of work are made of."""

from types import TracebackType
from typing import Any, Self

import orjson
from sqlalchemy import bindparam, insert, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kernel.events import DomainEvent
from shared.kernel.ids import TenantId, new_id
from shared.messaging.port import Claim, Finish, Queue, Task
from shared.persistence.database import Database, connection
from shared.persistence.tables import domain_events

_SET_TENANT = text("SELECT set_config('app.tenant', :tenant, true)")
_ENQUEUE = text(
    "SELECT enqueue_task(:id, :tenant, :queue, :kind, :key, :payload, :available_at, :delay, "
    ":priority, :ordering_key, :position)"
).bindparams(bindparam("payload", type_=JSONB))
_FINISH = text("SELECT finish_task(:id, :generation, :lease)")


class Transaction:
    """A transaction bound to one tenant; leaving it without `commit` rolls back.

    ``async with Transaction(database, tenant_id) as tx:`` sets the tenant that row-level security
    compares, for this transaction only. Tasks and events become visible with the commit, together
    with the rows they speak of; afterwards sleeping workers are woken.
    """

    connection: AsyncConnection

    def __init__(self, database: Database, tenant_id: TenantId) -> None:
        self.tenant_id = tenant_id
        self._database = database
        self._queues: set[Queue] = set()
        self._events: list[DomainEvent] = []

    async def __aenter__(self) -> Self:
        self._scope = connection(self._database.engine)
        self.connection = await self._scope.__aenter__()
        try:
            await self.connection.execute(_SET_TENANT, {"tenant": str(self.tenant_id)})
        except BaseException as error:
            await self._scope.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._scope.__aexit__(kind, error, trace)

    async def enqueue(self, task: Task) -> None:
        """Put work into the queue, to be seen with the commit."""
        await self.connection.execute(
            _ENQUEUE,
            {
                "id": new_id(),
                "tenant": self.tenant_id,
                "queue": task.queue.value,
                "kind": task.kind,
                "key": task.key,
                "payload": dict(task.payload),
                "available_at": task.available_at,
                "delay": task.delay,
                "priority": task.priority,
                "ordering_key": task.ordering_key,
                "position": task.position,
            },
        )
        self.will_wake(task.queue)

    def will_wake(self, queue: Queue) -> None:
        """Wake the queue's workers after the commit; for statements that enqueue by themselves."""
        self._queues.add(queue)

    async def finish(self, claim: Claim) -> Finish:
        """Delete the claimed row, or give it back when its generation has risen meanwhile.

        The row that stood behind it in its order becomes claimable with the commit.
        """
        outcome = Finish(
            (
                await self.connection.execute(
                    _FINISH,
                    {"id": claim.id, "generation": claim.generation, "lease": claim.lease_id},
                )
            ).scalar_one()
        )
        if outcome is Finish.RELEASED or claim.ordering_key is not None:
            self.will_wake(claim.queue)
        return outcome

    def record(self, *events: DomainEvent) -> None:
        """Keep events for the commit, which writes them beside what they tell of."""
        self._events.extend(events)

    async def commit(self) -> None:
        """Write the events, commit, wake the workers."""
        if self._events:
            await self.connection.execute(
                insert(domain_events), [_event_row(event) for event in self._events]
            )
            self._events.clear()
        await self.connection.commit()
        for queue in self._queues:
            self._database.waker.wake(queue)
        self._queues.clear()


def _event_row(event: DomainEvent) -> dict[str, Any]:
    return {
        "id": new_id(),
        "tenant_id": event.tenant_id,
        "name": event.name,
        "version": event.version,
        "body": orjson.loads(orjson.dumps(event.body())),
        "occurred_at": event.occurred_at,
    }
