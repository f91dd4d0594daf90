"""A task queue in memory that keeps the promises of the port; the contract suite watches it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from shared.kernel.ids import TenantId, new_id
from shared.messaging.port import Claim, ClaimLost, Finish, GiveUp, Queue, Task
from shared.messaging.postgres import sleep_until
from shared.persistence.unit_of_work import Transaction

_POLL_SECONDS = 0.01


@dataclass(slots=True, kw_only=True)
class MemoryRow:
    id: UUID
    tenant_id: TenantId
    task: Task
    available_at: datetime
    created_at: datetime
    generation: int = 1
    attempts: int = 0
    lease_id: UUID | None = None
    lease_until: datetime | None = None
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryDeadLetter:
    claim: Claim
    code: str
    detail: str


@dataclass(slots=True)
class MemoryStore:
    """What stands for the database: rows, dead letters, and a clock that can jump."""

    rows: dict[UUID, MemoryRow] = field(default_factory=dict)
    letters: list[MemoryDeadLetter] = field(default_factory=list)
    ahead: timedelta = timedelta(0)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def enqueue(self, tenant_id: TenantId, task: Task, *, v: int = 1) -> None:
        due = task.available_at or self.now() + task.delay
        self.changed.set()
        for row in self.rows.values():
            if (row.tenant_id, *_key(row.task)) == (tenant_id, *_key(task)):
                row.generation += 1
                row.available_at = due
                row.task = replace(row.task, payload=dict(task.payload), priority=task.priority)
                return
        made = MemoryRow(
            id=new_id(),
            tenant_id=tenant_id,
            task=task,
            available_at=due,
            created_at=self.now(),
            v=v,
        )
        self.rows[made.id] = made

    def finish(self, claim: Claim) -> Finish:
        row = self.rows.get(claim.id)
        if row is not None and row.generation == claim.generation:
            del self.rows[claim.id]
            self.changed.set()
            return Finish.DELETED
        if row is None or row.lease_id != claim.lease_id:
            return Finish.LOST
        row.lease_id, row.lease_until, row.attempts = None, None, 0
        self.changed.set()
        return Finish.RELEASED


class MemoryTransaction:
    """What a give-up step may use of a transaction."""

    def __init__(self, store: MemoryStore, tenant_id: TenantId) -> None:
        self.tenant_id = tenant_id
        self._store = store
        self._tasks: list[Task] = []

    async def enqueue(self, task: Task) -> None:
        self._tasks.append(task)

    def commit(self) -> None:
        for task in self._tasks:
            self._store.enqueue(self.tenant_id, task)


class MemoryTaskQueue:
    """One worker's view of a store."""

    def __init__(self, store: MemoryStore, *, lease: timedelta = timedelta(seconds=30)) -> None:
        self.store = store
        self._lease = lease
        self._served = UUID(int=0)

    async def claim(
        self, queue: Queue, limit: int, *, wait: timedelta, attempts_below: int | None = None
    ) -> Sequence[Claim]:
        loop = asyncio.get_running_loop()
        end = loop.time() + wait.total_seconds()
        while True:
            self.store.changed.clear()
            due = [row for row in self._fair(queue) if _has_below(row, attempts_below)]
            claims = [self._take(row) for row in due[:limit]]
            left = end - loop.time()
            if claims or left <= 0:
                return claims
            await sleep_until(self.store.changed, min(left, _POLL_SECONDS))

    def _fair(self, queue: Queue) -> list[MemoryRow]:
        now = self.store.now()
        due = [row for row in self.store.rows.values() if self._claimable(row, queue, now)]
        due.sort(key=lambda row: (-row.task.priority, row.available_at, row.id))
        ring = sorted(
            {row.tenant_id for row in due}, key=lambda tenant: (tenant <= self._served, tenant)
        )
        rank: dict[UUID, int] = {}
        places = []
        for row in due:
            rank[row.tenant_id] = rank.get(row.tenant_id, 0) + 1
            places.append((rank[row.tenant_id], ring.index(row.tenant_id), row))
        return [row for *_, row in sorted(places, key=lambda place: place[:2])]

    def _claimable(self, row: MemoryRow, queue: Queue, now: datetime) -> bool:
        free = row.lease_until is None or row.lease_until <= now
        return row.task.queue is queue and row.available_at <= now and free and self._is_first(row)

    def _is_first(self, row: MemoryRow) -> bool:
        return row.task.ordering_key is None or not any(
            (other.tenant_id, other.task.queue, other.task.ordering_key)
            == (row.tenant_id, row.task.queue, row.task.ordering_key)
            and (other.task.position, other.id) < (row.task.position, row.id)
            for other in self.store.rows.values()
        )

    def _take(self, row: MemoryRow) -> Claim:
        now = self.store.now()
        row.attempts += row.lease_id is not None
        row.lease_id, row.lease_until = new_id(), now + self._lease
        self._served = row.tenant_id
        return Claim(
            id=row.id,
            tenant_id=row.tenant_id,
            queue=row.task.queue,
            kind=row.task.kind,
            key=row.task.key,
            payload=row.task.payload,
            generation=row.generation,
            attempts=row.attempts,
            lease_id=row.lease_id,
            v=row.v,
            ordering_key=row.task.ordering_key,
            waited=now - row.available_at,
            age=now - row.created_at,
        )

    async def renew(self, claims: Sequence[Claim]) -> None:
        for row in filter(None, map(self._mine, claims)):
            row.lease_until = self.store.now() + self._lease

    async def release(self, claim: Claim, *, delay: timedelta = timedelta(0)) -> None:
        if row := self._mine(claim):
            row.lease_id, row.lease_until, row.attempts = None, None, 0
            if row.generation == claim.generation and delay:
                row.available_at = self.store.now() + delay
            self.store.changed.set()

    async def retry(self, claim: Claim, *, delay: timedelta) -> None:
        if row := self._mine(claim):
            row.attempts += 1
        await self.set_aside(claim, delay=delay)

    async def set_aside(self, claim: Claim, *, delay: timedelta) -> None:
        if row := self._mine(claim):
            row.lease_id, row.lease_until = None, None
            row.available_at = max(row.available_at, self.store.now() + delay)
            self.store.changed.set()

    async def dead_letter(
        self, claim: Claim, *, code: str, detail: str, give_up: GiveUp | None
    ) -> None:
        if self._mine(claim) is None:
            raise ClaimLost
        tx = MemoryTransaction(self.store, claim.tenant_id)
        if give_up is not None:
            await give_up(cast(Transaction, tx), claim, code)
        tx.commit()
        del self.store.rows[claim.id]
        self.store.letters.append(MemoryDeadLetter(claim=claim, code=code, detail=detail))
        self.store.changed.set()

    def _mine(self, claim: Claim) -> MemoryRow | None:
        row = self.store.rows.get(claim.id)
        return row if row is not None and row.lease_id == claim.lease_id else None


def _has_below(row: MemoryRow, attempts: int | None) -> bool:
    return attempts is None or row.attempts + (row.lease_id is not None) < attempts


def _key(task: Task) -> tuple[Any, ...]:
    return task.queue, task.kind, task.key
