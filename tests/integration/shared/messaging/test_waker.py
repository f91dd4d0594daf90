"""Wake-ups reach other processes quickly, and their absence costs a poll, no more."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from shared.config.settings import DatabaseSettings
from shared.messaging.port import Queue
from shared.messaging.waker import PostgresWaker, open_waker
from tests.support.postgres import TestDatabase, plain


@pytest_asyncio.fixture(loop_scope="session")
async def two(
    test_database: TestDatabase,
) -> AsyncIterator[tuple[PostgresWaker, PostgresWaker]]:
    """The wakers of two processes."""
    async with (
        open_waker(test_database.settings) as one,
        open_waker(test_database.settings) as other,
    ):
        async with asyncio.timeout(60):
            await one.listening.wait()
            await other.listening.wait()
        yield one, other


async def test_a_wake_up_reaches_this_process_and_the_other(
    two: tuple[PostgresWaker, PostgresWaker],
) -> None:
    one, other = two
    here, there = one.subscribe(Queue.CRM_TASKS), other.subscribe(Queue.CRM_TASKS)

    one.wake(Queue.CRM_TASKS)

    assert here.is_set()
    async with asyncio.timeout(5):
        await there.wait()


async def test_only_who_waits_for_the_queue_is_woken(
    two: tuple[PostgresWaker, PostgresWaker],
) -> None:
    one, other = two
    wrong, right = other.subscribe(Queue.AI_TASKS), other.subscribe(Queue.WA_MESSAGES)

    one.wake(Queue.WA_MESSAGES)

    async with asyncio.timeout(5):
        await right.wait()
    assert not wrong.is_set()


async def test_many_wake_ups_are_few_notifications(
    test_database: TestDatabase, two: tuple[PostgresWaker, PostgresWaker]
) -> None:
    heard: list[str] = []
    listener = await asyncpg.connect(plain(test_database.url))
    try:
        await listener.add_listener("platform_queue", lambda *said: heard.append(said[3]))
        there = two[1].subscribe(Queue.AI_TASKS)
        for _ in range(500):
            two[0].wake(Queue.CRM_TASKS)
            await asyncio.sleep(0)
        two[0].wake(Queue.AI_TASKS)  # carried after all of the others
        async with asyncio.timeout(5):
            await there.wait()
        await listener.execute("SELECT 1")
    finally:
        await listener.close()

    assert 1 <= heard.count("crm_tasks") <= 25, "500 within a fraction of a second"


async def test_a_lost_connection_comes_back_and_rouses_everybody(
    test_database: TestDatabase, two: tuple[PostgresWaker, PostgresWaker]
) -> None:
    one, other = two
    sleeper = other.subscribe(Queue.CRM_TASKS)
    await test_database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    one.wake(Queue.CRM_TASKS)

    async with asyncio.timeout(10):
        await sleeper.wait()  # what may have been said meanwhile
        await other.listening.wait()
        await one.listening.wait()
        sleeper.clear()
        one.wake(Queue.CRM_TASKS)
        await sleeper.wait()


async def test_without_a_server_waking_neither_waits_nor_fails() -> None:
    nowhere = DatabaseSettings.model_validate(
        {"database_url": "postgresql://platform_app@127.0.0.1:1/none"}
    )
    async with open_waker(nowhere) as waker:
        event = waker.subscribe(Queue.CRM_TASKS)
        for _ in range(1000):
            waker.wake(Queue.CRM_TASKS)
        assert event.is_set()
        assert not waker.listening.is_set()
