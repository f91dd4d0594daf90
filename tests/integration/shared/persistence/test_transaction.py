"""The unit of work: all of it or nothing, and nothing of it for the next user of the connection."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

import pytest
import pytest_asyncio
from sqlalchemy import text

from shared.kernel.events import DomainEvent
from shared.kernel.ids import TenantId, new_id
from shared.messaging.port import Queue, Task
from shared.persistence.database import Database, DatabaseUnavailable, open_database
from shared.persistence.unit_of_work import Transaction
from tests.support.postgres import PostgresForTests, TestDatabase

TENANT = TenantId(new_id())
TASK = Task(queue=Queue.CRM_TASKS, kind="brew", key="k")


@dataclass(frozen=True, kw_only=True, slots=True)
class CoffeeBrewed(DomainEvent):
    name: ClassVar[str] = "coffee.brewed"
    version: ClassVar[int] = 3

    cups: int


EVENT = CoffeeBrewed(tenant_id=TENANT, occurred_at=datetime(2026, 11, 1, tzinfo=UTC), cups=2)


class Bell:
    """A waker that remembers."""

    def __init__(self) -> None:
        self.rung: list[Queue] = []

    def wake(self, queue: Queue) -> None:
        self.rung.append(queue)


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest_asyncio.fixture(loop_scope="session")
async def opened(test_database: TestDatabase, bell: Bell) -> AsyncIterator[Database]:
    settings = test_database.settings.model_copy(
        update={"database_pool_size": 1, "database_max_overflow": 0}
    )
    async with open_database(settings, bell) as database:
        yield database


async def test_leaving_without_a_commit_does_nothing(
    opened: Database, test_database: TestDatabase, bell: Bell
) -> None:
    async with Transaction(opened, TENANT) as tx:
        await tx.enqueue(TASK)
        tx.record(EVENT)

    assert await test_database.fetchval("SELECT count(*) FROM queue_messages") == 0
    assert await test_database.fetchval("SELECT count(*) FROM domain_events") == 0
    assert bell.rung == []


async def test_an_error_undoes_everything(
    opened: Database, test_database: TestDatabase, bell: Bell
) -> None:
    async def fails() -> None:
        async with Transaction(opened, TENANT) as tx:
            await tx.enqueue(TASK)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()

    assert await test_database.fetchval("SELECT count(*) FROM queue_messages") == 0
    assert bell.rung == []


async def test_events_and_work_are_there_with_the_commit(
    opened: Database, test_database: TestDatabase, bell: Bell
) -> None:
    async with Transaction(opened, TENANT) as tx:
        await tx.enqueue(TASK)
        await tx.enqueue(TASK)
        tx.record(EVENT)
        assert bell.rung == [], "nobody is woken for work that may yet be undone"
        await tx.commit()

    (event,) = await test_database.fetch("SELECT *, tx::text AS xid FROM domain_events")
    assert (event["tenant_id"], event["name"], event["version"], event["body"]) == (
        TENANT,
        "coffee.brewed",
        3,
        '{"cups": 2}',
    )
    assert event["occurred_at"] == EVENT.occurred_at
    (work,) = await test_database.fetch("SELECT *, xmin::text AS xid FROM queue_messages")
    assert work["generation"] == 2
    assert int(event["xid"]) % 2**32 == int(work["xid"]), "one transaction"
    assert bell.rung == [Queue.CRM_TASKS]


async def test_a_cancelled_command_leaves_nothing_to_the_next(
    opened: Database, test_database: TestDatabase
) -> None:
    """The pool has one connection: the next would read our answer."""
    pids: list[int] = []
    started = asyncio.Event()

    async def slow() -> None:
        async with Transaction(opened, TENANT) as tx:
            pids.append((await tx.connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())
            await tx.enqueue(TASK)
            started.set()
            await tx.connection.execute(text("SELECT pg_sleep(30), 'ours'"))

    task = asyncio.create_task(slow())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async with asyncio.timeout(10), Transaction(opened, TENANT) as tx:
        assert (await tx.connection.execute(text("SELECT 'theirs'"))).scalar_one() == "theirs"
        pid = (await tx.connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    assert pid != pids[0]
    assert await test_database.fetchval("SELECT count(*) FROM queue_messages") == 0


async def test_a_spent_pool_is_said_to_be_unavailable(test_database: TestDatabase) -> None:
    settings = test_database.settings.model_copy(
        update={
            "database_pool_size": 1,
            "database_max_overflow": 0,
            "database_pool_timeout_seconds": test_database.settings.database_pool_timeout_seconds
            / 100,
        }
    )
    async with open_database(settings) as database, Transaction(database, TENANT):
        with pytest.raises(DatabaseUnavailable):
            async with Transaction(database, TENANT):
                pytest.fail("there was one connection")


async def test_a_killed_connection_is_said_to_be_unavailable(
    opened: Database, test_database: TestDatabase
) -> None:
    async def killed_before_the_commit() -> None:
        async with Transaction(opened, TENANT) as tx:
            await tx.enqueue(TASK)
            pid = (await tx.connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            await test_database.execute("SELECT pg_terminate_backend($1)", pid)
            await tx.commit()

    with pytest.raises(DatabaseUnavailable):
        await killed_before_the_commit()

    assert await test_database.fetchval("SELECT count(*) FROM queue_messages") == 0
    async with Transaction(opened, TENANT) as tx:
        await tx.enqueue(TASK)
        await tx.commit()
    assert await test_database.fetchval("SELECT count(*) FROM queue_messages") == 1


async def test_a_server_that_is_away_is_said_to_be_unavailable() -> None:
    async with PostgresForTests(private=True) as server:
        made = await server.database()
        async with open_database(made.settings) as database:
            assert server.server is not None
            await asyncio.to_thread(server.server.stop, immediately=True)
            with pytest.raises(DatabaseUnavailable):
                async with Transaction(database, TENANT):
                    pytest.fail("opened")
            await asyncio.to_thread(server.server.start)
            async with Transaction(database, TENANT) as tx:
                await tx.enqueue(TASK)
                await tx.commit()
