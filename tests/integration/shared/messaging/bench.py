"""One queue under test, whichever keeps it: what the contract suite may do to it from outside."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from shared.config.settings import QueueSettings
from shared.kernel.ids import TenantId, new_id
from shared.messaging.port import Claim, Finish, Queue, Task, TaskQueue
from shared.messaging.queues import open_queue
from shared.messaging.waker import PostgresWaker, open_waker
from shared.persistence.database import Database, open_database
from shared.persistence.unit_of_work import Transaction
from tests.support.memory_queue import MemoryStore, MemoryTaskQueue
from tests.support.postgres import TestDatabase

LEASE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Seen:
    """A row as it stands in the queue."""

    key: str
    generation: int
    attempts: int
    held: bool


@dataclass(frozen=True, slots=True)
class Buried:
    """A dead letter."""

    key: str
    code: str
    detail: str
    attempts: int


class Bench(ABC):
    """``queue`` is the worker under test; ``another`` is a second one on the same work."""

    queue: TaskQueue
    tenants: tuple[TenantId, TenantId]
    """Two tenants in the order of their ids."""

    async def put(self, *tasks: Task, tenant: int = 0) -> None:
        await self.put_as(self.tenants[tenant], *tasks)

    async def claim_all(
        self, expected: int, *, queue: TaskQueue | None = None, within: float = 15
    ) -> list[Claim]:
        """Claim until ``expected`` claims are there or time is up."""
        claims: list[Claim] = []
        while len(claims) < expected:
            more = await (queue or self.queue).claim(
                Queue.CRM_TASKS, expected - len(claims), wait=timedelta(seconds=within)
            )
            if not more:
                break
            claims.extend(more)
        return claims

    async def claim_one(self, *, queue: TaskQueue | None = None) -> Claim:
        (claim,) = await self.claim_all(1, queue=queue)
        return claim

    async def nothing_to_claim(self) -> bool:
        """Long enough for a hint on its way to arrive."""
        return not await self.queue.claim(Queue.CRM_TASKS, 10, wait=timedelta(seconds=0.4))

    @abstractmethod
    async def put_as(self, tenant: TenantId, *tasks: Task, v: int = 1) -> None: ...
    @abstractmethod
    async def finish(self, claim: Claim) -> Finish: ...
    @abstractmethod
    async def jump(self, seconds: float) -> None: ...
    @abstractmethod
    async def rows(self) -> list[Seen]: ...
    @abstractmethod
    async def letters(self) -> list[Buried]: ...
    @abstractmethod
    async def another(self) -> TaskQueue: ...


class MemoryBench(Bench):
    def __init__(self) -> None:
        self._store = MemoryStore()
        self.queue = MemoryTaskQueue(self._store, lease=LEASE)
        self.tenants = (TenantId(new_id()), TenantId(new_id()))

    async def put_as(self, tenant: TenantId, *tasks: Task, v: int = 1) -> None:
        for task in tasks:
            self._store.enqueue(tenant, task, v=v)

    async def finish(self, claim: Claim) -> Finish:
        return self._store.finish(claim)

    async def jump(self, seconds: float) -> None:
        self._store.ahead = timedelta(seconds=seconds)

    async def rows(self) -> list[Seen]:
        return [
            Seen(row.task.key, row.generation, row.attempts, row.lease_id is not None)
            for row in self._store.rows.values()
        ]

    async def letters(self) -> list[Buried]:
        return [
            Buried(each.claim.key, each.code, each.detail, each.claim.attempts)
            for each in self._store.letters
        ]

    async def another(self) -> TaskQueue:
        return MemoryTaskQueue(self._store, lease=LEASE)


class SqlBench(Bench):
    """Both SQL adapters; which one, the settings say."""

    def __init__(
        self,
        test_database: TestDatabase,
        database: Database,
        waker: PostgresWaker,
        settings: QueueSettings,
        stack: AsyncExitStack,
    ) -> None:
        self.test_database = test_database
        self.database = database
        self.waker = waker
        self.settings = settings
        self._stack = stack

    async def put_as(self, tenant: TenantId, *tasks: Task, v: int = 1) -> None:
        async with Transaction(self.database, tenant) as tx:
            for task in tasks:
                await tx.enqueue(task)
            await tx.commit()
        if v != 1:
            await self.test_database.execute("UPDATE queue_messages SET v = $1", v)

    async def finish(self, claim: Claim) -> Finish:
        async with Transaction(self.database, claim.tenant_id) as tx:
            outcome = await tx.finish(claim)
            await tx.commit()
        return outcome

    async def jump(self, seconds: float) -> None:
        await self.test_database.jump(seconds)

    async def rows(self) -> list[Seen]:
        rows = await self.test_database.fetch("SELECT * FROM queue_messages ORDER BY id")
        return [
            Seen(row["key"], row["generation"], row["attempts"], row["lease_id"] is not None)
            for row in rows
        ]

    async def letters(self) -> list[Buried]:
        rows = await self.test_database.fetch("SELECT * FROM dead_letters ORDER BY id")
        return [Buried(row["key"], row["code"], row["detail"], row["attempts"]) for row in rows]

    async def another(self) -> TaskQueue:
        opened = open_queue(self.settings, self.database, self.waker)
        return await self._stack.enter_async_context(opened)


@asynccontextmanager
async def open_bench(
    test_database: TestDatabase, settings: QueueSettings
) -> AsyncIterator[SqlBench]:
    """A bench with two tenants over an opened queue."""
    async with AsyncExitStack() as stack:
        waker = await stack.enter_async_context(open_waker(test_database.settings))
        database = await stack.enter_async_context(open_database(test_database.settings, waker))
        bench = SqlBench(test_database, database, waker, settings, stack)
        bench.tenants = (await add_tenant(test_database), await add_tenant(test_database))
        bench.queue = await bench.another()
        yield bench


async def add_tenant(test_database: TestDatabase, tenant_id: UUID | None = None) -> TenantId:
    made = TenantId(tenant_id or new_id())
    await test_database.execute(
        "INSERT INTO tenants (id, slug, name, wrapped_key) VALUES ($1, $2, 'Kedai', '')",
        made,
        f"kedai-{made}",
    )
    return made


def quick(**changes: Any) -> dict[str, Any]:
    """Settings under which a test does not wait for what production may wait for."""
    return {
        "queue_lease_seconds": LEASE,
        "queue_poll_seconds": timedelta(seconds=0.1),
        "queue_sweep_seconds": timedelta(seconds=0.5),
        "worker_concurrency": 8,
    } | changes
