"""WAHA's deliveries doubled, mixed up, late, and ahead of what they speak of."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import permutations

import pytest
import pytest_asyncio

from tests.fault.whole_path import WholePath, open_path
from tests.support.fake_waha import FakeWaha
from tests.support.postgres import PostgresForTests
from tests.support.waha_webhooks import (
    CUSTOMER,
    ENGINES,
    Engine,
    Webhook,
    Webhooks,
    new_native_id,
)

LID = "99887766554433@lid"
OTHER = "6281230000002@c.us"
DAYS = 86_400.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def opened_path(postgres: PostgresForTests) -> AsyncIterator[WholePath]:
    database = await postgres.database()
    async with FakeWaha() as waha, open_path(database, waha) as opened:
        yield opened


async def _together(path: WholePath, *webhooks: Webhook) -> None:
    """Deliver all at once; each is accepted."""
    answers = await asyncio.gather(*(path.deliver(webhook) for webhook in webhooks))
    assert [answer.status_code for answer in answers] == [200] * len(webhooks)


# -- 25: duplicates -----------------------------------------------------------------------------


def _guises(hooks: Webhooks, native_id: str, at: float) -> list[Webhook]:
    """One message as WAHA may deliver it: the very same bytes, under other webhook ids, as both
    events, and from the hidden address of the same person."""
    first = hooks.message("ada kopi?", native_id=native_id, at=at)
    return [
        *[first] * 5,
        *(hooks.message("ada kopi?", native_id=native_id, at=at) for _ in range(3)),
        hooks.message("ada kopi?", native_id=native_id, at=at, event="message"),
        *(
            hooks.message("ada kopi?", native_id=native_id, at=at, chat=LID, alternate=CUSTOMER)
            for _ in range(2)
        ),
    ]


@pytest.mark.parametrize("engine", ENGINES)
async def test_25_a_message_in_every_guise_at_once_has_one_set_of_effects_for_ever(
    path: WholePath, engine: Engine
) -> None:
    path.waha.lids[LID] = CUSTOMER  # WEBJS names no other address; the server is asked
    await path.reports()
    native_id, at = new_native_id(), time.time()
    guises = _guises(path.shop.hooks, native_id, at)
    await _together(path, *guises)
    await path.settle()

    async def everything() -> tuple[int, ...]:
        tables = ("messages", "turns", "sends", "customers", "conversations", "message_anomalies")
        return tuple([await path.count(table) for table in tables])

    assert await everything() == (1, 1, 1, 1, 1, 0)
    assert path.said() == ["Jawaban untuk: ada kopi?"]
    assert await path.count("inbox_events", "reason = 'duplicate'") == 6

    await path.jump(30 * DAYS)
    await _together(path, *guises, *_guises(path.shop.hooks, native_id, at))
    await path.settle()

    assert await everything() == (1, 1, 1, 1, 1, 0)
    assert path.waha.paths("sendText") == ["sendText"]
    await path.assert_clean()


async def test_25_a_hidden_twin_that_nobody_can_resolve_is_answered_once_all_the_same(
    path: WholePath,
) -> None:
    """Equal ids prove nothing about persons: what the second delivery says is kept as an anomaly,
    whichever comes first."""
    for first, second in ((CUSTOMER, LID), ("11223344556677@lid", OTHER)):
        native_id = new_native_id()
        for chat in (first, second):
            await path.receives(path.shop.hooks.message("halo", chat=chat, native_id=native_id))
            await path.settle()
        assert path.said(first) == ["Jawaban untuk: halo"]
        assert path.said(second) == []
    assert await path.count("messages") == 2
    reasons = await path.fetch("SELECT reason FROM message_anomalies")
    assert [row["reason"] for row in reasons] == ["other_sender", "other_sender"]
    await path.assert_clean()


# -- 26: out of order, late ---------------------------------------------------------------------


async def test_26_bubbles_that_come_in_any_order_are_heard_in_the_order_they_were_written(
    path: WholePath,
) -> None:
    now = int(time.time())
    orders = list(permutations(("satu", "dua", "tiga")))
    written = {"satu": now - 30, "dua": now - 20, "tiga": now - 10}
    for number, order in enumerate(orders):
        chat = f"62812300001{number:02}@c.us"
        hooks = path.shop.hooks
        await path.receives(*(hooks.message(t, chat=chat, at=written[t]) for t in order))
    await path.settle()

    assert [path.said(f"62812300001{number:02}@c.us") for number in range(len(orders))] == [
        ["Jawaban untuk: satu | dua | tiga"]
    ] * 6
    assert await path.count("turns") == 6
    await path.assert_clean()


async def test_26_ten_minutes_late_is_answered_in_a_turn_of_its_own(path: WholePath) -> None:
    hooks = path.shop.hooks
    await path.receives(hooks.message("yang baru"))
    await path.settle()
    await path.receives(hooks.message("yang tertunda", at=time.time() - 600))
    await path.settle()

    assert path.said() == ["Jawaban untuk: yang baru", "Jawaban untuk: yang tertunda"]
    assert path.scripted.seen == [["yang baru"], ["yang tertunda"]]
    # what the customer wrote first stands first, also when it came last
    history = await path.fetch("SELECT body FROM messages ORDER BY sent_at")
    assert [row["body"] for row in history] == ["yang tertunda", "yang baru"]
    assert await path.count("messages", "recovered") == 0
    await path.assert_clean()


async def test_26_three_days_late_is_kept_and_never_answered(path: WholePath) -> None:
    """Also in the company of something fresh, and however often a reconnecting phone repeats it."""
    hooks = path.shop.hooks
    old = [hooks.message(f"lama {n}", at=time.time() - 3 * DAYS + n) for n in range(3)]
    await _together(path, *old, hooks.message("segar"), *old)
    await path.settle()
    again = [
        hooks.message(f"lama {n}", native_id=webhook.native_id, at=time.time() - 3 * DAYS + n)
        for n, webhook in enumerate(old)
    ]
    await _together(path, *again)
    await path.settle()

    assert path.said() == ["Jawaban untuk: segar"]
    assert await path.answered() == {
        "lama 0": "recovered",
        "lama 1": "recovered",
        "lama 2": "recovered",
        "segar": "ai",
    }
    assert await path.count("turns") == 1
    await path.assert_clean()


async def test_26_a_replay_of_what_was_answered_long_ago_changes_nothing(path: WholePath) -> None:
    hooks = path.shop.hooks
    at, native_id = time.time(), new_native_id()
    await path.receives(hooks.message("halo", native_id=native_id, at=at))
    await path.settle()
    await path.jump(3 * DAYS)
    before = await path.fetch("SELECT * FROM messages")
    await path.receives(hooks.message("halo", native_id=native_id, at=at))
    await path.settle()

    assert await path.fetch("SELECT * FROM messages") == before
    assert path.said() == ["Jawaban untuk: halo"]
    await path.assert_clean()


# -- 27: before their message, after the reply -----------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
async def test_27_a_revocation_before_its_message_leaves_nothing_to_answer(
    path: WholePath, engine: Engine
) -> None:
    hooks, native_id = path.shop.hooks, new_native_id()
    await path.receives(hooks.revoked(native_id))
    await path.settle()
    assert await path.count("early_events", "kind = 'revoked'") == 1
    await path.receives(hooks.message("salah kirim", native_id=native_id), hooks.message("halo"))
    await path.settle()

    assert await path.answered() == {"salah kirim": "revoked", "halo": "ai"}
    assert path.said() == ["Jawaban untuk: halo"]
    assert await path.count("early_events") == 0
    await path.assert_clean()


async def test_27_a_message_its_edit_and_its_revocation_at_once_end_revoked(
    path: WholePath,
) -> None:
    hooks = path.shop.hooks
    for number in range(6):
        chat, native_id = f"62812300002{number:02}@c.us", new_native_id()
        await _together(
            path,
            hooks.revoked(native_id, chat=chat),
            hooks.edited(native_id, "dua", chat=chat),
            hooks.message("satu", chat=chat, native_id=native_id),
        )
        await path.settle()
        assert path.said(chat) == []
    assert await path.count("messages", "revoked_at IS NOT NULL") == 6
    assert await path.count("messages", "answered_how = 'revoked'") == 6
    assert await path.count("early_events") == 0
    await path.assert_clean()


@pytest.mark.parametrize("engine", ENGINES)
async def test_27_an_edit_after_the_reply_changes_the_text_and_sends_nothing(
    path: WholePath, engine: Engine
) -> None:
    hooks, native_id = path.shop.hooks, new_native_id()
    await path.receives(hooks.message("satu kopi", native_id=native_id))
    await path.settle()
    calls = len(path.waha.calls)
    await path.receives(hooks.edited(native_id, "dua kopi"))
    await path.settle()

    assert await path.answered() == {"dua kopi": "ai"}
    assert len(path.waha.calls) == calls
    assert await path.count("turns") == 1
    await path.receives(hooks.message("terima kasih"))
    await path.settle()
    assert [said.text for said in path.scripted.turns[-1].history] == [
        "dua kopi",
        "Jawaban untuk: satu kopi",
    ]
    await path.assert_clean()


@pytest.mark.parametrize("engine", ENGINES)
async def test_27_ticks_before_the_send_knows_its_own_id_are_not_lost(
    path: WholePath, engine: Engine
) -> None:
    """Echo and ticks come before WAHA has answered the call. WEBJS reserves no ids: the ticks find
    no row that has theirs."""
    await path.reports(before_answer=True)
    await path.receives(path.shop.hooks.message("halo"))
    await path.settle()

    send = await path.one("SELECT * FROM sends")
    assert (send["state"], send["ack"]) == ("sent", 3)
    assert send["native_id"] == path.waha.sent[CUSTOMER][0].native_id
    assert send["echoed_id"] == send["native_id"]
    assert await path.count("early_events") == 0
    assert await path.count("messages", "direction = 'out'") == 0
    assert await path.owner() == "ai"
    await path.assert_clean()


@pytest.mark.parametrize("kind", ["revoked", "edited"])
async def test_27_what_another_chat_says_of_an_equal_id_changes_nothing(
    path: WholePath, kind: str
) -> None:
    """Ids are chosen by senders: one customer must not take back or change another's words."""
    hooks, native_id = path.shop.hooks, new_native_id()

    def foreign() -> Webhook:
        if kind == "revoked":
            return hooks.revoked(native_id, chat=OTHER)
        return hooks.edited(native_id, "seratus kopi", chat=OTHER)

    await path.receives(foreign())  # before the message ...
    await path.settle()
    await path.receives(hooks.message("dua kopi", native_id=native_id))
    await path.receives(foreign())  # ... while it waits ...
    await path.settle()
    await path.receives(foreign())  # ... and after its answer
    await path.settle()

    message = await path.one("SELECT * FROM messages")
    assert (message["body"], message["answered_how"]) == ("dua kopi", "ai")
    assert (message["revoked_at"], message["edited_at"]) == (None, None)
    assert path.said() == ["Jawaban untuk: dua kopi"]
    assert await path.count("conversations") == 1
    await path.assert_clean()


@pytest.mark.parametrize("engine", ENGINES)
async def test_27_the_hidden_address_of_the_same_person_may_take_back_and_change(
    path: WholePath, engine: Engine
) -> None:
    """Whether the engine names the other address or the server has to be asked."""
    path.waha.lids[LID] = CUSTOMER
    hooks = path.shop.hooks
    changed, gone = new_native_id(), new_native_id()
    await path.receives(
        hooks.message("satu kopi", native_id=changed), hooks.message("rahasia", native_id=gone)
    )
    await path.receives(hooks.edited(changed, "dua kopi", chat=LID), hooks.revoked(gone, chat=LID))
    await path.settle()

    assert await path.answered() == {"dua kopi": "ai", "rahasia": "revoked"}
    assert path.scripted.seen[-1] == ["dua kopi"]
    await path.assert_clean()
