"""A worker from end to end: opened by the settings, consuming, outliving its database."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from shared.config.settings import PlatformSettings, QueueSettings
from shared.kernel.ids import TenantId
from shared.messaging.consume import consume
from shared.messaging.platform import Work, open_work
from shared.messaging.port import Claim, ClaimLost, Finish, Queue, Route, Task
from shared.persistence.unit_of_work import Transaction
from tests.integration.shared.messaging.bench import add_tenant, quick
from tests.support.postgres import PostgresForTests, TestDatabase
from tests.support.rabbitmq import RabbitForTests


async def put(work: Work, tenant: TenantId, *keys: str) -> None:
    async with Transaction(work.database, tenant) as tx:
        for key in keys:
            await tx.enqueue(Task(queue=Queue.CRM_TASKS, kind="brew", key=key))
        await tx.commit()


class Barista:
    """Does each piece of work in one transaction with its finish, and counts what committed."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.done: Counter[str] = Counter()
        self.changed = asyncio.Event()

    async def handle(self, claim: Claim) -> None:
        async with Transaction(self._work.database, claim.tenant_id) as tx:
            if await tx.finish(claim) is Finish.LOST:
                raise ClaimLost
            await tx.commit()
        self.done[claim.key] += 1
        self.changed.set()

    async def until_done(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.done) < count:
                self.changed.clear()
                await self.changed.wait()


async def serve(work: Work, barista: Barista, settings: QueueSettings, stop: asyncio.Event) -> None:
    routes = {"brew": Route(handle=barista.handle)}
    await consume(work.queue, [Queue.CRM_TASKS], routes, stop=stop, settings=settings)


async def brews_everything_once(settings: PlatformSettings, test_database: TestDatabase) -> None:
    tenants = [await add_tenant(test_database) for _ in range(3)]
    stop = asyncio.Event()
    async with open_work(settings) as work, asyncio.TaskGroup() as group:
        barista = Barista(work)
        group.create_task(serve(work, barista, settings.queue, stop))
        for number, tenant in enumerate(tenants):
            await put(work, tenant, *(f"{number}-{cup}" for cup in range(30)))
        await barista.until_done(90)
        stop.set()

    assert set(barista.done.values()) == {1}
    assert await test_database.fetchval("SELECT count(*) FROM queue_messages") == 0


async def test_a_worker_on_postgresql(test_database: TestDatabase) -> None:
    settings = PlatformSettings(database=test_database.settings, queue=QueueSettings(**quick()))
    await brews_everything_once(settings, test_database)


@pytest.mark.rabbitmq
async def test_a_worker_on_rabbitmq(
    test_database: TestDatabase, rabbitmq_server: RabbitForTests
) -> None:
    async with rabbitmq_server.queues(**quick()) as queue:
        settings = PlatformSettings(database=test_database.settings, queue=queue)
        await brews_everything_once(settings, test_database)


async def test_a_worker_outlives_a_restart_of_its_database() -> None:
    async with PostgresForTests(private=True) as server:
        test_database = await server.database()
        queue = QueueSettings(**quick(queue_lease_seconds=timedelta(seconds=3)))
        settings = PlatformSettings(database=test_database.settings, queue=queue)
        tenant = await add_tenant(test_database)
        stop = asyncio.Event()
        async with open_work(settings) as work, asyncio.TaskGroup() as group:
            barista = Barista(work)
            group.create_task(serve(work, barista, queue, stop))
            await put(work, tenant, *(f"{cup}" for cup in range(200)))
            await barista.until_done(20)
            assert server.server is not None

            await asyncio.to_thread(server.server.stop, immediately=True)
            await asyncio.to_thread(server.server.start)

            await put(work, tenant, "after")
            async with asyncio.timeout(60):
                while await test_database.fetchval("SELECT count(*) FROM queue_messages"):
                    await asyncio.sleep(0.05)
            stop.set()

        assert set(barista.done.values()) == {1}
        # a commit whose answer was lost is done, although its handler never heard of it
        assert barista.done["after"] == 1
        assert await test_database.fetchval("SELECT count(*) FROM dead_letters") == 0
