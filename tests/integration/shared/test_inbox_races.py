"""Two gateways get the same event at the same moment: looking first would not help."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest_asyncio

from shared.inbox import InboxEvent, InboxWriter
from shared.kernel.ids import ChannelId, TenantId, new_id
from shared.persistence.database import Database
from tests.support.locks import until_blocked
from tests.support.postgres import TestDatabase

EVENT = InboxEvent(
    tenant_id=TenantId(new_id()),
    source="waha",
    endpoint_id=ChannelId(new_id()),
    body=b'{"event": "message"}',
)


@pytest_asyncio.fixture(loop_scope="session")
async def inbox(database: Database) -> AsyncIterator[InboxWriter]:
    async with InboxWriter(database) as opened:
        yield opened


@asynccontextmanager
async def stored_elsewhere(db: TestDatabase) -> AsyncIterator[None]:
    """Another gateway's statement has stored the event; its commit comes when this is left."""
    async with db.admin() as other, other.transaction():
        await other.execute(
            "INSERT INTO inbox_events (id, tenant_id, source, endpoint_id, body, body_sha256)"
            " VALUES ($1, $2, $3, $4, $5, $6)",
            new_id(),
            EVENT.tenant_id,
            EVENT.source,
            EVENT.endpoint_id,
            EVENT.body,
            hashlib.sha256(EVENT.body).digest(),
        )
        yield


async def test_an_event_that_another_gateway_is_storing_is_accepted_and_makes_no_second_work(
    inbox: InboxWriter, test_database: TestDatabase
) -> None:
    async with stored_elsewhere(test_database):
        accepting = asyncio.create_task(inbox.accept(EVENT))
        await until_blocked(test_database, accepting)

    assert await asyncio.gather(accepting, return_exceptions=True) == [None]
    assert await test_database.fetchval("SELECT count(*) FROM inbox_events") == 1
    assert await test_database.fetchval("SELECT count(*) FROM queue_messages") == 0


async def test_nobody_is_told_yes_before_the_commit(
    inbox: InboxWriter, test_database: TestDatabase
) -> None:
    async with stored_elsewhere(test_database):
        accepting = asyncio.create_task(inbox.accept(EVENT))
        await until_blocked(test_database, accepting)
        assert not accepting.done()

    await accepting
