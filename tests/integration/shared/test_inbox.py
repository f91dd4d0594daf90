"""What is acknowledged is committed, once, with its work, whoever else fails."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio

from shared.inbox import InboxEvent, InboxUnavailable, InboxWriter
from shared.kernel.ids import ChannelId, TenantId, new_id
from shared.messaging.port import Queue
from shared.persistence.database import Database, open_database
from tests.support.postgres import PostgresForTests, TestDatabase

TENANT = TenantId(UUID(int=1))
CHANNEL = ChannelId(UUID(int=2))


def an_event(body: bytes = b'{"event":"message"}', **changes: object) -> InboxEvent:
    values = {"tenant_id": TENANT, "source": "waha", "endpoint_id": CHANNEL, "body": body}
    return InboxEvent(**(values | changes))  # type: ignore[arg-type]


@pytest_asyncio.fixture(loop_scope="session")
async def inbox(database: Database) -> AsyncIterator[InboxWriter]:
    async with InboxWriter(database) as opened:
        yield opened


async def test_an_accepted_event_is_there_byte_for_byte_with_its_work(
    inbox: InboxWriter, test_database: TestDatabase
) -> None:
    body = b"\xff\x00 not even JSON \xed\xa0\x80"
    await inbox.accept(an_event(body, headers={"x-webhook-request-id": "r1\x00"}))
    [row] = await test_database.fetch("SELECT * FROM inbox_events")
    assert row["body"] == body
    assert row["body_sha256"] == hashlib.sha256(body).digest()
    assert row["state"] == "received"
    assert row["headers"] == '{"x-webhook-request-id": "r1"}'
    [work] = await test_database.fetch("SELECT * FROM queue_messages")
    assert (work["tenant_id"], work["queue"], work["kind"]) == (TENANT, "crm_tasks", "inbox.waha")
    assert work["key"] == str(row["id"])


async def test_the_same_body_again_is_accepted_and_makes_no_second_work(
    inbox: InboxWriter, test_database: TestDatabase
) -> None:
    await asyncio.gather(*(inbox.accept(an_event()) for _ in range(20)))
    await inbox.accept(an_event())
    assert await test_database.fetchval("SELECT count(*) FROM inbox_events") == 1
    assert await test_database.fetchval("SELECT count(*) FROM queue_messages") == 1


async def test_the_same_body_for_another_tenant_or_channel_is_another_event(
    inbox: InboxWriter, test_database: TestDatabase
) -> None:
    await inbox.accept(an_event())
    await inbox.accept(an_event(tenant_id=TenantId(new_id())))
    await inbox.accept(an_event(endpoint_id=ChannelId(new_id())))
    assert await test_database.fetchval("SELECT count(*) FROM inbox_events") == 3
    assert await test_database.fetchval("SELECT count(*) FROM queue_messages") == 3


async def test_a_burst_is_committed_in_few_statements(
    inbox: InboxWriter, test_database: TestDatabase
) -> None:
    await asyncio.gather(*(inbox.accept(an_event(b"%d" % n)) for n in range(300)))
    rows = await test_database.fetch(
        "SELECT xmin::text AS tx, count(*) FROM inbox_events GROUP BY 1"
    )
    assert sum(row["count"] for row in rows) == 300
    assert len(rows) <= 3  # the first that came alone, and those that waited meanwhile


async def test_only_the_guilty_event_of_a_batch_is_refused(
    inbox: InboxWriter, test_database: TestDatabase
) -> None:
    outcomes = await asyncio.gather(
        *(inbox.accept(an_event(b"%d" % n)) for n in range(10)),
        inbox.accept(an_event(source="telegram")),  # no such source: a CHECK refuses it
        *(inbox.accept(an_event(b"%d" % n)) for n in range(10, 20)),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert len(refused) == 1
    assert isinstance(refused[0], InboxUnavailable)
    assert await test_database.fetchval("SELECT count(*) FROM inbox_events") == 20


async def test_committing_wakes_the_workers(database: Database) -> None:
    woken: list[Queue] = []

    class Ears:
        def wake(self, queue: Queue) -> None:
            woken.append(queue)

    async with InboxWriter(Database(database.engine, Ears())) as inbox:
        await inbox.accept(an_event())
    assert woken == [Queue.CRM_TASKS]


async def test_leaving_stores_what_is_still_waiting(
    database: Database, test_database: TestDatabase
) -> None:
    async with InboxWriter(database) as inbox:
        waiting = [asyncio.ensure_future(inbox.accept(an_event(b"%d" % n))) for n in range(5)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert await test_database.fetchval("SELECT count(*) FROM inbox_events") == 5
    with pytest.raises(InboxUnavailable):
        await inbox.accept(an_event(b"after the end"))


async def test_a_cancelled_request_disturbs_nobody(
    inbox: InboxWriter, test_database: TestDatabase
) -> None:
    tasks = [asyncio.ensure_future(inbox.accept(an_event(b"%d" % n))) for n in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(o) for o in outcomes if o is not None] == [asyncio.CancelledError]
    await inbox.accept(an_event(b"next"))
    stored = await test_database.fetchval("SELECT count(*) FROM inbox_events WHERE body <> '3'")
    assert stored == 10


async def test_a_lost_connection_is_made_anew_and_a_lost_server_is_said() -> None:
    async with PostgresForTests(private=True) as postgres:
        made = await postgres.database()
        assert postgres.server is not None
        async with open_database(made.settings) as database, InboxWriter(database) as inbox:
            await inbox.accept(an_event(b"1"))
            await made.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'inbox'"
            )
            await inbox.accept(an_event(b"2"))
            postgres.server.stop(immediately=True)
            with pytest.raises(InboxUnavailable):
                await inbox.accept(an_event(b"3"))
            postgres.server.start()
            await inbox.accept(an_event(b"3"))
            assert await made.fetchval("SELECT count(*) FROM inbox_events") == 3
            assert await made.fetchval("SELECT count(*) FROM queue_messages") == 3
