"""Two workers store the same message at the same moment, from two deliveries of it."""

import asyncio

from commerce_agent.application.ports.message_store import NewMessage
from commerce_agent.domain.value_objects.ids import MessageId
from commerce_agent.infrastructure.persistence.unit_of_work import SqlUnitOfWork
from shared.kernel.ids import new_id
from shared.persistence.database import Database
from tests.support import rows
from tests.support.locks import until_blocked
from tests.support.postgres import TestDatabase


async def test_who_comes_second_hears_that_it_is_stored(
    database: Database, test_database: TestDatabase
) -> None:
    tenant = await rows.a_tenant(test_database)
    conversation = await rows.a_conversation(
        test_database, tenant, await rows.a_channel(test_database, tenant)
    )

    async def store() -> bool:
        async with SqlUnitOfWork(database, tenant) as work:
            stored = await work.messages.add(
                NewMessage(
                    id=MessageId(new_id()),
                    channel_id=conversation.channel_id,
                    conversation_id=conversation.id,
                    direction="in",
                    native_id="3EB0ONE",
                    sender=conversation.address,
                    content_type="text",
                    body="halo",
                    sent_at=await work.now(),
                )
            )
            await first_may_commit.wait()
            await work.commit()
        return stored

    first_may_commit = asyncio.Event()
    first = asyncio.create_task(store())
    await _until_written(test_database)
    second = asyncio.create_task(store())
    await until_blocked(test_database, second)
    first_may_commit.set()

    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    assert set(outcomes) == {True, False}
    assert await test_database.fetchval("SELECT count(*) FROM messages") == 1


async def _until_written(db: TestDatabase) -> None:
    """Return when the first has written and not committed: it holds its table's lock."""
    async with asyncio.timeout(10), db.admin() as connection:
        while not await connection.fetchval(
            "SELECT count(*) FROM pg_locks WHERE relation = 'messages'::regclass"
            " AND mode = 'RowExclusiveLock'"
        ):
            await asyncio.sleep(0.01)
