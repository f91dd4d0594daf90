"""One tenant, one transaction: what all contexts' units of work are made of."""

from types import TracebackType
from typing import Any, Self
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kernel.events import DomainEvent
from shared.kernel.ids import TenantId, new_id
from shared.messaging.port import Claim, ClaimLost, Finish, Queue, Task
from shared.persistence.database import Database, commit, connection

_FINISH = text("SELECT finish_task(:claim, :generation, :lease)")
_CLOSE = text(
    """
    WITH told AS (
        INSERT INTO domain_events (id, tenant_id, name, version, body, occurred_at)
        SELECT e.id, e.tenant_id, e.name, e.version, e.body, e.occurred_at
        FROM jsonb_to_recordset(:events) AS e (
            id uuid, tenant_id uuid, name text, version smallint, body jsonb,
            occurred_at timestamptz)
    ), wanted AS MATERIALIZED (
        SELECT enqueue_task(
            t.id, :tenant, t.queue, t.kind, t.key, t.payload, t.available_at,
            make_interval(secs => t.delay), t.priority, t.ordering_key, t.position) AS id
        FROM jsonb_to_recordset(:tasks) AS t (
            id uuid, queue text, kind text, key text, payload jsonb, available_at timestamptz,
            delay double precision, priority integer, ordering_key text, position bigint)
    )
    SELECT count(wanted.id) AS wanted,
           CASE WHEN :claim IS NOT NULL THEN finish_task(:claim, :generation, :lease) END AS finish
    FROM wanted
    """
).bindparams(
    bindparam("events", type_=JSONB),
    bindparam("tasks", type_=JSONB),
    bindparam("tenant", type_=PG_UUID),
    bindparam("claim", type_=PG_UUID),
    bindparam("generation", type_=BigInteger),
    bindparam("lease", type_=PG_UUID),
)
"""What a transaction ends with, in one statement: its events, its work, and its claim."""


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
        self._tasks: list[Task] = []
        self._claim: Claim | None = None

    async def __aenter__(self) -> Self:
        mine = f"SET LOCAL app.tenant = '{UUID(str(self.tenant_id))}'"
        self._scope = connection(self._database.engine, mine)
        self.connection = await self._scope.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._scope.__aexit__(kind, error, trace)

    async def enqueue(self, task: Task) -> None:
        """Put work into the queue with the commit."""
        self._tasks.append(task)
        self.will_wake(task.queue)

    def will_wake(self, queue: Queue) -> None:
        """Wake the queue's workers after the commit; for statements that enqueue by themselves."""
        self._queues.add(queue)

    async def finish(self, claim: Claim) -> Finish:
        """Delete the claimed row, or give it back when its generation has risen meanwhile.

        The row that stood behind it in its order becomes claimable with the commit.
        """
        answer = await self.connection.execute(_FINISH, _claim_values(claim))
        outcome = Finish(answer.scalar_one())
        self._finished(claim, outcome)
        return outcome

    def finish_with_commit(self, claim: Claim) -> None:
        """The same as part of `commit`, which refuses to commit when the claim is lost."""
        self._claim = claim

    def _finished(self, claim: Claim, outcome: Finish) -> None:
        if outcome is Finish.RELEASED or claim.ordering_key is not None:
            self.will_wake(claim.queue)

    def record(self, *events: DomainEvent) -> None:
        """Keep events for the commit, which writes them beside what they tell of."""
        self._events.extend(events)

    async def commit(self) -> None:
        """Write the events and the work, finish the claim, commit, wake the workers.

        Raises:
            ClaimLost: somebody else has the claim of `finish_with_commit`; nothing is committed.
            CommitUnclear: the connection broke, and nobody can tell.
        """
        if self._events or self._tasks or self._claim is not None:
            await self._close()
        await commit(self.connection)
        for queue in self._queues:
            self._database.waker.wake(queue)
        self._queues.clear()

    async def _close(self) -> None:
        claim, self._claim = self._claim, None
        values = {
            "events": [_event_row(event) for event in self._events],
            "tasks": [_task_row(task) for task in self._tasks],
            "tenant": self.tenant_id,
        }
        closed = (await self.connection.execute(_CLOSE, values | _claim_values(claim))).one()
        self._events.clear()
        self._tasks.clear()
        if claim is not None:
            outcome = Finish(closed.finish)
            if outcome is Finish.LOST:
                raise ClaimLost
            self._finished(claim, outcome)


def _claim_values(claim: Claim | None) -> dict[str, Any]:
    if claim is None:
        return {"claim": None, "generation": None, "lease": None}
    return {"claim": claim.id, "generation": claim.generation, "lease": claim.lease_id}


def _task_row(task: Task) -> dict[str, Any]:
    return {
        "id": new_id(),
        "queue": task.queue,
        "kind": task.kind,
        "key": task.key,
        "payload": dict(task.payload),
        "available_at": task.available_at,
        "delay": task.delay.total_seconds(),
        "priority": task.priority,
        "ordering_key": task.ordering_key,
        "position": task.position,
    }


def _event_row(event: DomainEvent) -> dict[str, Any]:
    return {
        "id": new_id(),
        "tenant_id": event.tenant_id,
        "name": event.name,
        "version": event.version,
        "body": event.body(),
        "occurred_at": event.occurred_at,
    }
