"""What a channel told nobody is read from its history, with the same identities."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from shared.kernel.errors import Unavailable
from tests.integration.commerce_agent.conversation.conftest import Desk, open_desk
from tests.support import rows
from tests.support.fake_waha import FakeWaha, Status
from tests.support.postgres import TestDatabase
from tests.support.waha_webhooks import CUSTOMER

REPAIR = "channel.repair"


@pytest_asyncio.fixture(loop_scope="session")
async def waha() -> AsyncIterator[FakeWaha]:
    async with FakeWaha() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def missed(test_database: TestDatabase, waha: FakeWaha) -> AsyncIterator[Desk]:
    """A desk whose channel was last known to be complete half an hour ago."""
    async with open_desk(test_database, waha=waha) as desk:
        await _complete_until(desk, time.time() - 1800)
        yield desk


async def _complete_until(desk: Desk, moment: float) -> None:
    await desk.db.execute(
        "UPDATE channels SET history_watermark = $1", datetime.fromtimestamp(moment, UTC)
    )


async def _repair(desk: Desk) -> None:
    await desk.enqueue(REPAIR, str(desk.channel))
    await desk.drain()


async def test_a_missed_message_is_found_flagged_and_answered(missed: Desk, waha: FakeWaha) -> None:
    at = time.time() - 600
    waha.remember(CUSTOMER, missed.hooks.payload("ada orang?", at=at))
    await _repair(missed)

    message = (await missed.db.fetch("SELECT recovered, answered_how FROM messages"))[0]
    assert (message["recovered"], message["answered_how"]) == (True, "ai")
    assert await missed.bubbles() == ["Jawaban untuk: ada orang?"]
    channel = (await missed.db.fetch("SELECT gap_repair, history_watermark FROM channels"))[0]
    assert channel["gap_repair"] == "ok"
    assert (datetime.now(UTC) - channel["history_watermark"]).total_seconds() < 700


async def test_what_was_delivered_or_sent_is_not_taken_twice(missed: Desk, waha: FakeWaha) -> None:
    [webhook] = await missed.hears("halo")
    await missed.drain()
    await missed.db.execute("UPDATE sends SET state = 'sent', native_id = '3EB0OURS'")
    waha.remember(
        CUSTOMER,
        webhook.json["payload"],
        missed.hooks.payload("Jawaban untuk: halo", native_id="3EB0OURS", from_me=True),
    )
    await _repair(missed)
    await _repair(missed)

    assert await missed.count("messages") == 1
    assert await missed.count("inbox_events") == 1
    assert (await missed.conversation())["owner"] == "ai"


async def test_reading_the_same_gap_twice_stores_once(missed: Desk, waha: FakeWaha) -> None:
    waha.remember(CUSTOMER, missed.hooks.payload("halo", at=time.time() - 60))
    await _repair(missed)
    await _complete_until(missed, time.time() - 1800)
    await missed.db.execute("DELETE FROM messages")
    await _repair(missed)

    assert await missed.count("inbox_events") == 1


async def test_what_is_older_than_two_hours_is_kept_and_never_answered(
    missed: Desk, waha: FakeWaha
) -> None:
    await _complete_until(missed, time.time() - 4 * 3600)
    waha.remember(CUSTOMER, missed.hooks.payload("tadi pagi", at=time.time() - 3 * 3600))
    await _repair(missed)

    assert await missed.answered() == {"tadi pagi": "recovered"}
    assert await missed.bubbles() == []


async def test_a_customer_whom_somebody_answered_on_the_phone_meanwhile_is_not_answered(
    missed: Desk, waha: FakeWaha
) -> None:
    """In whatever order the two are stored."""
    waha.remember(
        CUSTOMER,
        missed.hooks.payload("ada orang?", at=time.time() - 900),
        missed.hooks.payload("ada, Kak", at=time.time() - 800, from_me=True),
    )
    await missed.enqueue(REPAIR, str(missed.channel))
    assert await missed.do(await missed.claim(REPAIR)) == "done"
    await missed.db.execute(
        "UPDATE queue_messages SET priority = 1 WHERE key IN (SELECT id::text FROM inbox_events"
        " WHERE convert_from(body, 'utf8') LIKE '%ada, Kak%')"
    )
    await missed.drain()

    assert (await missed.conversation())["owner"] == "paused"
    assert await missed.answered() == {"ada orang?": "person"}
    assert await missed.bubbles() == []


async def test_the_first_look_at_a_channel_reads_none_of_its_past(
    test_database: TestDatabase, waha: FakeWaha
) -> None:
    async with open_desk(test_database, waha=waha) as desk:
        waha.remember(CUSTOMER, desk.hooks.payload("sebelum tersambung", at=time.time() - 60))
        await _repair(desk)
        await _repair(desk)

        assert await desk.count("inbox_events") == 0
        assert await desk.db.fetchval("SELECT history_watermark IS NOT NULL FROM channels") is True


async def test_an_engine_without_history_says_so(missed: Desk, waha: FakeWaha) -> None:
    waha.history_status = 400
    before = await missed.db.fetchval("SELECT history_watermark FROM channels")
    await _repair(missed)

    assert await missed.db.fetchval("SELECT gap_repair FROM channels") == "unavailable"
    assert await missed.db.fetchval("SELECT history_watermark FROM channels") == before
    assert await missed.count("queue_messages") == 0


async def test_a_server_that_is_away_is_asked_again_later(missed: Desk, waha: FakeWaha) -> None:
    waha.fault("/api/sessions/default", Status(503))
    await missed.enqueue(REPAIR, str(missed.channel))
    claim = await missed.claim(REPAIR)
    with pytest.raises(Unavailable):
        await missed.do(claim)
    assert await missed.count("queue_messages", f"kind = '{REPAIR}'") == 1


async def test_the_sessions_state_is_what_the_server_says(missed: Desk, waha: FakeWaha) -> None:
    waha.sessions["default"].status = "SCAN_QR_CODE"
    waha.remember(CUSTOMER, missed.hooks.payload("halo", at=time.time() - 60))
    await _repair(missed)

    assert await missed.db.fetchval("SELECT state FROM channels") == "scan_qr_code"
    assert await missed.count("inbox_events") == 0


async def test_hidden_addresses_are_resolved_when_the_server_knows_them(
    missed: Desk, waha: FakeWaha
) -> None:
    lid = "99887766554433@lid"
    await missed.hears("halo", chat=lid)
    assert await missed.count("customer_aliases") == 1
    waha.lids[lid] = CUSTOMER
    await _repair(missed)

    assert (await missed.conversation())["address"] == CUSTOMER
    assert await missed.count("customer_aliases") == 2


async def test_a_simulated_channel_has_missed_nothing(desk: Desk) -> None:
    channel = await rows.a_channel(desk.db, desk.tenant, kind="simulator")
    await desk.enqueue(REPAIR, str(channel))
    await desk.do(await desk.claim(REPAIR))
    assert await desk.count("queue_messages") == 0
