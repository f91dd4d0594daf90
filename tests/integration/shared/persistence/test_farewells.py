"""A server that ends a connection says so, and closes it a moment later. Between the two the driver
knows that nothing can be asked any more, and does not yet say that the connection is closed."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import text

from shared.config.settings import DatabaseSettings
from shared.inbox import InboxEvent, InboxWriter
from shared.kernel.ids import ChannelId, TenantId, new_id
from shared.messaging.port import Queue
from shared.messaging.waker import open_waker
from shared.persistence.database import open_database
from shared.persistence.unit_of_work import Transaction
from tests.support.fault_proxy import FaultProxy
from tests.support.postgres import TestDatabase

TENANT = TenantId(new_id())


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(test_database: TestDatabase) -> AsyncIterator[FaultProxy]:
    async with FaultProxy.before(test_database.url) as opened:
        yield opened


def through(proxy: FaultProxy, database: TestDatabase) -> DatabaseSettings:
    address = proxy.address(database.settings.database_url.get_secret_value())
    return database.settings.model_copy(update={"database_url": SecretStr(address)})


async def _says_farewell(proxy: FaultProxy, database: TestDatabase) -> None:
    """To everybody connected; returns when they have read it."""
    proxy.hold_ends()
    connections = proxy.connections
    await database.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    while proxy.ends_held < connections:
        await asyncio.sleep(0)
    for _ in range(3):  # the last words are in the client's socket; it reads them
        await asyncio.sleep(0)


async def test_a_transaction_begins_on_another_connection(
    proxy: FaultProxy, test_database: TestDatabase
) -> None:
    async with asyncio.timeout(20), open_database(through(proxy, test_database)) as database:
        async with Transaction(database, TENANT) as tx:
            await tx.connection.execute(text("SELECT 1"))
        await _says_farewell(proxy, test_database)
        async with Transaction(database, TENANT) as tx:
            assert (await tx.connection.execute(text("SELECT 2"))).scalar_one() == 2


async def test_a_server_that_hears_nothing_holds_up_no_end(
    proxy: FaultProxy, test_database: TestDatabase
) -> None:
    async with asyncio.timeout(20), open_database(through(proxy, test_database)) as database:
        async with Transaction(database, TENANT) as tx:
            await tx.connection.execute(text("SELECT 1"))
        proxy.black_hole()


async def test_an_event_is_stored_over_another_connection(
    proxy: FaultProxy, test_database: TestDatabase
) -> None:
    async with (
        open_database(through(proxy, test_database)) as database,
        InboxWriter(database) as inbox,
        asyncio.timeout(20),
    ):
        for body in (b'{"before":1}', b'{"after":1}', b'{"later":1}'):
            event = InboxEvent(
                tenant_id=TENANT, source="waha", endpoint_id=ChannelId(new_id()), body=body
            )
            await inbox.accept(event)
            if b"before" in body:
                await _says_farewell(proxy, test_database)
    assert await test_database.fetchval("SELECT count(*) FROM inbox_events") == 3


async def test_wake_ups_are_carried_over_another_connection(
    proxy: FaultProxy, test_database: TestDatabase
) -> None:
    async with (
        open_waker(through(proxy, test_database)) as one,
        open_waker(test_database.settings) as other,
        asyncio.timeout(20),
    ):
        await one.listening.wait()
        await _says_farewell(proxy, test_database)
        one.wake(Queue.CRM_TASKS)
        while one.listening.is_set():
            await asyncio.sleep(0.01)
        await one.listening.wait()
        await other.listening.wait()
        sleeper = other.subscribe(Queue.AI_TASKS)
        one.wake(Queue.AI_TASKS)
        await sleeper.wait()
