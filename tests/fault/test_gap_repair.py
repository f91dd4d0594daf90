"""The gateway is down for ten minutes and every retry of WAHA's is dropped: what was missed is read
from the history, once, in order, and what is too old by then is answered by nobody."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from commerce_agent.worker import CHANNELS_EVERY
from shared.messaging.port import Queue
from tests.fault.whole_path import WholePath, open_path
from tests.support.fake_waha import Delay, FakeWaha
from tests.support.postgres import PostgresForTests
from tests.support.waha_webhooks import ENGINES, Engine, Webhook

ANI, BUDI, CITRA, DEWI, EKO = (f"62812300010{number:02}@c.us" for number in range(5))
LID = "99887766554433@lid"
MINUTE = 60.0
REPAIR = "channel.repair"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def opened_path(postgres: PostgresForTests) -> AsyncIterator[WholePath]:
    """Bubbles are collected as ever."""
    database = await postgres.database()
    buffer = {"message_buffer_initial_delay": 2, "message_buffer_max_delay": 10}
    async with (
        FakeWaha() as waha,
        open_path(database, waha, conversation=buffer) as opened,
    ):
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def path(opened_path: WholePath, engine: Engine) -> WholePath:
    """A shop whose number was complete a moment ago."""
    await opened_path.begin_anew(engine=engine)
    await _repair(opened_path)
    await opened_path.jump(MINUTE)
    return opened_path


async def _repair(path: WholePath) -> None:
    """What the worker does when it starts, and every four minutes."""
    await path.agent.sweeper.look_after_channels()
    await path.settle()


def _message(path: WholePath, text: str, chat: str, **options: Any) -> Webhook:
    """Written now, by the clock that phones, WAHA and the database share."""
    return path.shop.hooks.message(text, chat=chat, at=path.now, **options)


async def _heard(path: WholePath, text: str, chat: str) -> Webhook:
    """Delivered, and in the history as everything is."""
    webhook = _message(path, text, chat)
    path.waha.remember(chat, webhook.json["payload"])
    await path.receives(webhook)
    await path.settle()
    return webhook


def _missed(path: WholePath, text: str, chat: str, **options: Any) -> Webhook:
    """Nobody tells us; only the history has it."""
    webhook = _message(path, text, chat, **options)
    path.waha.remember(chat, webhook.json["payload"])
    return webhook


async def _pass(path: WholePath, minutes: float) -> None:
    await path.jump(minutes * MINUTE)


async def _is_complete(path: WholePath, said: dict[str, list[str]]) -> None:
    """Each chat got exactly this, and nothing is kept twice."""
    assert {chat: path.said(chat) for chat in said} == said, await path.planned()
    assert len(path.waha.paths("sendText")) == sum(map(len, said.values()))
    twice = await path.fetch(
        "SELECT native_id FROM messages GROUP BY native_id HAVING count(*) > 1"
    )
    assert twice == []
    assert await path.count("message_anomalies") == 0
    assert await path.count("queue_messages") == 0
    await path.assert_clean()


def test_a_gap_is_looked_for_within_five_minutes() -> None:
    assert timedelta(minutes=5) > CHANNELS_EVERY


@pytest.mark.parametrize("engine", ENGINES)
async def test_ten_minutes_of_silence_are_repaired_once_and_in_order(
    path: WholePath, engine: Engine
) -> None:
    await _heard(path, "pagi", ANI)
    await _heard(path, "halo", BUDI)
    # -- the gateway is down: nothing is delivered, nothing is delivered again
    missed = [_missed(path, "berapa harga latte", ANI)]
    await _pass(path, 3)
    missed += [_missed(path, "ada menu?", CITRA), _missed(path, "yang panas", ANI)]
    await _pass(path, 3)
    missed += [_missed(path, "buka jam berapa", BUDI), _missed(path, "dua porsi", CITRA)]
    path.waha.remember(  # somebody answered one of them on the phone
        BUDI,
        path.shop.hooks.payload("Buka jam 8, Kak", chat=BUDI, at=path.now + 30, from_me=True),
    )
    await _pass(path, 4)
    # -- it is back
    await _repair(path)

    said = {
        ANI: ["Jawaban untuk: pagi", "Jawaban untuk: berapa harga latte | yang panas"],
        BUDI: ["Jawaban untuk: halo"],
        CITRA: ["Jawaban untuk: ada menu? | dua porsi"],
    }
    await _is_complete(path, said)
    assert await path.count("messages", "recovered AND direction = 'in'") == len(missed)
    assert (await path.owner(ANI), await path.owner(BUDI)) == ("ai", "paused")
    assert (await path.answered())["buka jam berapa"] == "person"

    # a second look finds nothing, and neither does WAHA's late delivery of all of it
    await _pass(path, 4)
    await _repair(path)
    await path.receives(*missed, *missed)
    await path.settle()
    await _is_complete(path, said)
    assert await path.count("inbox_events", "headers->>'origin' IS NOT NULL") in (0, 6)


async def test_what_has_grown_too_old_is_kept_and_answered_by_nobody(path: WholePath) -> None:
    """Three hours. In one chat there is something old and something that is not."""
    _missed(path, "tadi pagi", ANI)
    _missed(path, "pertanyaan lama", BUDI)
    await _pass(path, 130)
    _missed(path, "masih ada?", ANI)
    _missed(path, "baru saja", CITRA)
    await _pass(path, 50)
    await _repair(path)

    await _is_complete(
        path,
        {
            ANI: ["Jawaban untuk: masih ada?"],
            BUDI: [],
            CITRA: ["Jawaban untuk: baru saja"],
        },
    )
    assert await path.answered() == {
        "tadi pagi": "recovered",
        "pertanyaan lama": "recovered",
        "masih ada?": "ai",
        "baru saja": "ai",
    }
    # the AI knows what was said before, as it knows any past
    [turn] = [turn for turn in path.scripted.turns if turn.history]
    assert [said.text for said in turn.history] == ["tadi pagi"]


@pytest.mark.parametrize("engine", ENGINES)
async def test_the_hidden_form_of_a_known_person_is_the_same_person_and_the_same_messages(
    path: WholePath, engine: Engine
) -> None:
    """After a restart WAHA keeps the chat under the hidden address: what was delivered from the
    phone address stands there again, beside what was missed."""
    path.waha.lids[LID] = ANI
    known = await _heard(path, "pagi", ANI)
    again = known.json["payload"] | {"id": f"false_{LID}_{known.native_id}", "from": LID}
    path.waha.remember(LID, again)
    await _pass(path, 2)
    _missed(path, "ini saya lagi", LID)
    await _pass(path, 1)
    _missed(path, "dan lagi", LID)
    await _pass(path, 7)
    await _repair(path)

    await _is_complete(
        path, {ANI: ["Jawaban untuk: pagi", "Jawaban untuk: ini saya lagi | dan lagi"], LID: []}
    )
    assert await path.count("customers") == 1
    assert await path.count("conversations") == 1


async def test_deliveries_that_come_twice_while_the_history_is_read_change_nothing(
    path: WholePath,
) -> None:
    """The gateway is back before the repair is through: the same messages come both ways at once,
    and from the hidden address as well."""
    path.waha.lids[LID] = ANI
    missed = []
    for number, chat in enumerate((ANI, BUDI, CITRA, DEWI, EKO) * 2):
        missed.append(_missed(path, f"pesan {number}", chat))
        await _pass(path, 1)
    path.waha.fault("/messages", *[Delay(0.1)] * 5)
    await path.agent.sweeper.look_after_channels()
    [claim] = await path.work.queue.claim(Queue.CRM_TASKS, 1, wait=timedelta(0))
    assert claim.kind == REPAIR
    repairing = asyncio.create_task(path.agent.routes[REPAIR].handle(claim))
    for _ in range(2):
        for webhook in missed:
            await path.receives(webhook)
    first = missed[0].json["payload"]
    twin = path.shop.hooks.message(
        "pesan 0", chat=LID, native_id=missed[0].native_id, at=first["timestamp"], alternate=ANI
    )
    await path.receives(twin)
    await path.settle()
    await repairing
    await path.settle()

    await _is_complete(
        path,
        {
            chat: [f"Jawaban untuk: pesan {number} | pesan {number + 5}"]
            for number, chat in enumerate((ANI, BUDI, CITRA, DEWI, EKO))
        },
    )
    assert await path.count("messages") == 10


async def test_more_than_a_page_in_one_chat_is_found_whole(path: WholePath) -> None:
    for number in range(120):
        _missed(path, f"{number}", ANI)
        await path.jump(2)
    await _pass(path, 6)
    await _repair(path)

    await _is_complete(
        path, {ANI: ["Jawaban untuk: " + " | ".join(str(number) for number in range(120))]}
    )
    assert await path.count("messages") == 120


async def test_a_number_that_reconnects_is_read_at_once(path: WholePath) -> None:
    """The phone was off, not we: WAHA says so when it is back, and nobody waits for the timer."""
    await path.receives(path.shop.hooks.session_status("SCAN_QR_CODE"))
    await path.settle()
    _missed(path, "ada orang?", ANI)
    await _pass(path, 10)
    await path.receives(path.shop.hooks.session_status("WORKING"))
    await path.settle()

    await _is_complete(path, {ANI: ["Jawaban untuk: ada orang?"]})


async def test_a_history_that_cannot_be_read_is_read_when_it_can(path: WholePath) -> None:
    """WAHA is away as well: the watermark waits with it."""
    _missed(path, "ada orang?", ANI)
    await _pass(path, 10)
    path.waha.history_status = 503
    await _repair(path)
    assert path.said(ANI) == []
    assert await path.planned() == [REPAIR]

    path.waha.history_status = 200
    await path.rest()
    await _is_complete(path, {ANI: ["Jawaban untuk: ada orang?"]})
