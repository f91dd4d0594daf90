"""WAHA and the phone behind it on a bad day: refused, signed out, unclear, silent, slow."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from shared.messaging.port import Queue
from tests.fault.whole_path import WholePath, open_path
from tests.support import rows
from tests.support.fake_waha import Drip, FakeWaha, Fault, Hang, Reset, Status
from tests.support.postgres import PostgresForTests
from tests.support.waha_webhooks import CUSTOMER, ENGINES, Engine, file

CHATS = tuple(f"62812300004{number:02}@c.us" for number in range(3))
ANSWER = "Jawaban untuk: halo"
LID = "99887766554433@lid"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def opened_path(postgres: PostgresForTests) -> AsyncIterator[WholePath]:
    database = await postgres.database()
    async with (
        FakeWaha() as waha,
        open_path(
            database,
            waha,
            waha_settings={"waha_timeout_seconds": 0.5},
            look_up_time=timedelta(seconds=0.3),
        ) as opened,
    ):
        yield opened


async def _asks(path: WholePath, text: str = "halo", *, chat: str = CUSTOMER) -> None:
    await path.receives(path.shop.hooks.message(text, chat=chat, at=path.now))
    await path.settle()


async def _send(path: WholePath) -> Any:
    return await path.one("SELECT * FROM sends")


# -- 22: refused, signed out -----------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 404, 409, 422, 501])
async def test_22_a_message_that_is_refused_fails_at_once_and_holds_up_nobody(
    path: WholePath, status: int
) -> None:
    path.waha.fault("/api/sendText", Status(status, {"message": "bad number"}))
    await _asks(path)
    await _asks(path, "masih ada?")

    first, second = await path.fetch("SELECT * FROM sends ORDER BY seq")
    assert (first["state"], first["error_code"], first["claim_no"]) == ("failed", "send_refused", 1)
    assert (second["state"], second["claim_no"]) == ("sent", 1)
    assert path.said() == ["Jawaban untuk: masih ada?"]
    assert len(path.waha.paths("sendText")) == 2
    assert await path.count("dead_letters") == 0
    assert await path.owner() == "ai"
    await path.assert_clean()


LOST: dict[str, str] = {
    "SCAN_QR_CODE": "scan_qr_code",
    "STARTING": "starting",
    "STOPPED": "stopped",
    "FAILED": "failed",
    "SCANNED_OUT": "failed",
    "missing": "failed",
    "unauthorized": "failed",
}


@pytest.mark.parametrize("how", LOST)
async def test_22_a_number_that_is_not_connected_is_paused_as_a_whole_and_nothing_is_burned(
    path: WholePath, how: str
) -> None:
    """Three customers wait half an hour. One alert; the server is asked how the number stands, no
    bubble is tried; then everything leaves, once and in order."""
    waha = path.waha
    key = waha.api_key
    if how == "unauthorized":
        waha.api_key = "another"
    elif how == "missing":
        waha.unknown_sessions.add("default")
    else:
        waha.sessions["default"].status = how
    with capture_logs() as logs:
        for text in ("satu", "dua"):
            await path.receives(
                *(path.shop.hooks.message(text, chat=chat, at=path.now) for chat in CHATS)
            )
            await path.settle()
        for _ in range(6):
            await path.later(300)

    alerts = [entry for entry in logs if entry["event"] == "channel_state"]
    assert len(alerts) == 1
    assert await path.db.fetchval("SELECT state FROM channels") == LOST[how]
    told = await path.fetch(
        "SELECT body->>'state' AS state FROM domain_events WHERE name = 'channel.state_changed'"
    )
    assert [row["state"] for row in told] == [LOST[how]]
    waiting = await path.fetch("SELECT DISTINCT state, claim_no FROM sends")
    assert [tuple(row) for row in waiting] == [("pending", 0)]
    assert await path.count("sends") == 6
    attempts = await path.fetch("SELECT DISTINCT attempts FROM queue_messages")
    assert [row["attempts"] for row in attempts] == [0]
    assert waha.paths("sendText") == []
    # three bubbles are at the head of their lines, each asks once a minute at most
    assert len(waha.calls) <= 3 * (2 + 30)

    waha.api_key = key
    waha.unknown_sessions.clear()
    waha.sessions["default"].status = "WORKING"
    await path.receives(path.shop.hooks.session_status("WORKING"))
    await path.later(80)

    assert [path.said(chat) for chat in CHATS] == [
        ["Jawaban untuk: satu", "Jawaban untuk: dua"]
    ] * 3
    assert len(waha.paths("sendText")) == 6
    assert await path.db.fetchval("SELECT state FROM channels") == "working"
    assert await path.count("domain_events", "name = 'channel.state_changed'") == 2
    await path.assert_clean()


# -- 23: nobody knows whether it left --------------------------------------------------------------


UNCLEAR: dict[str, Fault] = {
    "500 and sent": Status(500, done=True),
    "502 and sent": Status(502, done=True),
    "timeout and sent": Hang(done=True),
    "reset and sent": Reset(done=True),
    "500": Status(500),
    "503": Status(503),
    "timeout": Hang(),
    "reset": Reset(),
}


@pytest.mark.parametrize("engine", ["NOWEB", "WEBJS"])
@pytest.mark.parametrize("how", UNCLEAR)
async def test_23_an_unclear_call_is_looked_up_and_never_made_again(
    path: WholePath, how: str, engine: Engine
) -> None:
    """With ids that can be reserved and without. What was not sent is left to a person; the line
    behind it waits until it is clear, and moves on."""
    fault = UNCLEAR[how]
    path.waha.fault("/api/sendText", fault)
    await _asks(path)
    assert (await _send(path))["state"] == "unknown"
    await _asks(path, "masih?")
    assert path.said() == ([ANSWER] if fault.done else [])
    await path.later(130)

    first, second = await path.fetch("SELECT * FROM sends ORDER BY seq")
    if fault.done:
        native_id = path.waha.sent[CUSTOMER][0].native_id
        assert (first["state"], first["native_id"], first["error_code"]) == (
            "sent",
            native_id,
            None,
        )
    else:
        assert (first["state"], first["error_code"]) == ("failed", "unknown_outcome")
    assert (first["claim_no"], first["resent"]) == (1, False)
    assert (second["state"], second["claim_no"]) == ("sent", 1)
    assert path.said() == [*([ANSWER] if fault.done else []), "Jawaban untuk: masih?"]
    assert len(path.waha.paths("sendText")) == 2
    assert await path.owner() == "ai"
    await path.assert_clean()


async def test_23_a_notice_is_repeated_once_and_counted(path: WholePath) -> None:
    """Telling twice is better than not at all, for what the shop must say. Not a third time."""
    conversation = await _a_conversation(path)
    await rows.a_send(path.db, conversation, kind="notice", body="Pembayaran diterima")
    path.waha.fault("/api/sendText", Status(500), Status(500))
    await path.settle()
    for _ in range(4):
        await path.later(130)

    send = await _send(path)
    assert (send["state"], send["resent"], send["claim_no"]) == ("failed", True, 2)
    assert len(path.waha.paths("sendText")) == 2
    assert path.said() == []
    await path.assert_clean()


async def _a_conversation(path: WholePath) -> rows.Conversation:
    return await rows.a_conversation(path.db, path.shop.id, path.shop.channel)


# -- 24: the echo before the answer, or never ------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("echo", ["before the answer", "after it", "never"])
async def test_24_the_end_is_the_same_whenever_the_echo_comes(
    path: WholePath, echo: str, engine: Engine
) -> None:
    if echo != "never":
        await path.reports(before_answer=echo == "before the answer")
    await _asks(path)
    async with asyncio.timeout(10):
        while echo != "never" and len(path.waha.echoes) < 4:
            await asyncio.sleep(0.01)
    await path.settle()

    send = await _send(path)
    assert (send["state"], send["claim_no"], send["error_code"]) == ("sent", 1, None)
    assert send["native_id"] == path.waha.sent[CUSTOMER][0].native_id
    assert path.said() == [ANSWER]
    assert await path.count("messages", "direction = 'out'") == 0
    assert await path.count("domain_events", "name = 'send.sent'") == 1
    assert (await path.owner(), await path.answered()) == ("ai", {"halo": "ai"})
    await path.assert_clean()


@pytest.mark.parametrize("engine", ENGINES)
async def test_24_the_echo_alone_ends_what_no_answer_and_no_history_can(
    path: WholePath, engine: Engine
) -> None:
    path.waha.history_status = 400
    await path.reports(before_answer=True)
    path.waha.fault("/api/sendText", Reset(done=True))
    await _asks(path)
    assert (await _send(path))["state"] == "unknown"
    await path.later(61)

    send = await _send(path)
    assert (send["state"], send["claim_no"]) == ("sent", 1)
    assert send["native_id"] == path.waha.sent[CUSTOMER][0].native_id
    assert path.said() == [ANSWER]
    assert await path.owner() == "ai"
    await path.assert_clean()


# -- 45: media, and answers that stall -------------------------------------------------------------


async def test_45_text_goes_on_while_files_are_huge_stalled_or_forged(path: WholePath) -> None:
    """Nobody fetches a file to answer a message: its description is what the agent reads. And the
    server's key goes to no address that a message names."""
    async with FakeWaha() as stranger:
        path.waha.fault("/api/files/default/huge.mp4", Hang(), Hang())
        huge = file("video/mp4", name="huge.mp4", host=path.waha.url) | {"filesize": 2 * 1024**3}
        forged = file(name="forged.jpg", host=stranger.url)
        hooks = path.shop.hooks
        await path.receives(
            hooks.message("lihat ini", media=huge),
            hooks.message("dan ini", media=forged),
            hooks.message("halo"),
        )
        await path.settle()

        assert stranger.calls == []
    assert sorted(path.scripted.seen[0]) == ["[picture] dan ini", "[video] lihat ini", "halo"]
    assert len(path.said()) == 1
    assert not any("/files/" in call.path for call in path.waha.calls)
    await path.assert_clean()


@pytest.mark.parametrize("fault", [Hang(), Drip(0.05)], ids=["silent", "dripping"])
async def test_45_a_look_up_that_stalls_delays_no_message(path: WholePath, fault: Fault) -> None:
    """The person is known by the hidden address, answered there, and resolved later."""
    path.waha.lids[LID] = CUSTOMER
    path.waha.fault(f"/lids/{LID.replace('@', '%40')}", fault)
    await path.receives(path.shop.hooks.message("halo", chat=LID))
    claims = await path.work.queue.claim(Queue.CRM_TASKS, 1, wait=timedelta(0))
    await path.agent.routes["inbox.waha"].handle(claims[0])
    await path.settle()

    assert path.said(LID) == [ANSWER]
    assert await path.count("customer_aliases") == 1
    assert await path.count("inbox_events", "state = 'stored'") == 1
    await path.later(90)
    assert await path.count("customer_aliases") == 2
    assert (await path.conversation())["address"] == CUSTOMER
    await path.assert_clean()
