"""Clocks that differ, jump, and repeat an hour. The database's clock decides; whoever else is wrong
may be wrong alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import pytest_asyncio

from commerce_agent.infrastructure.llm.prompts import system_prompt
from llm_worker.infrastructure.llm.errors import RETRY_AFTER_CAP, RETRY_AFTER_FLOOR, retry_after
from shared.messaging.port import Queue
from tests.fault import plants
from tests.fault.whole_path import WholePath, open_path
from tests.support.fake_llm import FakeLlm, Say
from tests.support.fake_waha import FakeWaha
from tests.support.postgres import PostgresForTests
from tests.support.scripted_agent import is_away, says
from tests.support.stack import Stack, until

TEN_MINUTES = 600.0
_NOW = timedelta(0)
TURN = "conversation.turn"
PLANTS = plants.__name__


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def opened_path(postgres: PostgresForTests) -> AsyncIterator[WholePath]:
    database = await postgres.database()
    async with FakeWaha() as waha, open_path(database, waha) as opened:
        yield opened


# -- processes whose clocks are wrong -------------------------------------------------------------


async def test_30_processes_ten_minutes_apart_answer_everything_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, embedded_postgres: PostgresForTests
) -> None:
    """A gateway and a worker ahead, a worker and the messenger behind, the database right. Nobody's
    lease is taken early: a model that thinks longer than a third of one is not asked twice."""
    async with (
        Stack(
            tmp_path_factory.mktemp("skewed"),
            services=(),
            postgres=embedded_postgres,
        ) as stack,
        FakeLlm() as llm,
        FakeWaha() as waha,
    ):
        stack.start("gateway", patch=f"{PLANTS}:clock_ahead")
        stack.start("commerce-agent", patch=f"{PLANTS}:clock_ahead")
        stack.start("messenger", patch=f"{PLANTS}:clock_behind")
        await stack.ready()
        shop = await stack.a_shop("kopi", llm=llm, waha=waha)
        with _another_behind(stack):
            llm.rule = lambda request: Say(f"Baik Kak, {len(llm.requests)}.", delay=0.9)
            chats = [f"62812300009{number:02}@c.us" for number in range(3)]
            for chat in chats:
                await shop.receives(shop.hooks.message("satu", chat=chat))
            await waha.until(lambda: all(len(waha.texts(c)) == 1 for c in chats), seconds=40)
            for chat in chats:
                await shop.receives(shop.hooks.message("dua", chat=chat))
            await waha.until(lambda: all(len(waha.texts(c)) == 2 for c in chats), seconds=40)
            await until(lambda: _nothing_left(stack))

        assert len(llm.requests) == 6
        assert await stack.database.fetchval("SELECT count(*) FROM turns") == 6
        heard = await stack.database.fetch(
            "SELECT body FROM messages ORDER BY conversation_id, sent_at"
        )
        assert [row["body"] for row in heard] == ["satu", "dua"] * 3
        assert await stack.database.fetchval("SELECT count(*) FROM messages WHERE recovered") == 0
        wrong = "SELECT count(*) FROM sends WHERE abs(extract(epoch FROM ended_at - now())) > 120"
        assert await stack.database.fetchval(wrong) == 0
        await stack.auditor.assert_clean()


@contextlib.contextmanager
def _another_behind(stack: Stack) -> Iterator[None]:
    worker = stack.start_another("commerce-agent", patch=f"{PLANTS}:clock_behind")
    try:
        yield
    finally:
        worker.stop()


async def _nothing_left(stack: Stack) -> bool:
    return await stack.database.fetchval("SELECT count(*) FROM queue_messages") == 0


@pytest.mark.parametrize("skew", [-600, 0, 600])
def test_30_a_date_to_wait_for_is_bounded_whatever_our_own_clock_says(skew: int) -> None:
    now = datetime.now(UTC) + timedelta(seconds=skew)
    asked = retry_after(
        format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True), now=now
    )
    assert asked is not None
    assert RETRY_AFTER_FLOOR <= asked <= RETRY_AFTER_CAP
    if skew == 0:
        assert timedelta(seconds=58) <= asked <= timedelta(seconds=60)
    assert retry_after("Sat, 31 Dec 2016 23:59:60 GMT", now=now) in (None, RETRY_AFTER_FLOOR)


# -- phones whose clocks are wrong ----------------------------------------------------------------


@pytest.mark.parametrize("skew", [-TEN_MINUTES, TEN_MINUTES])
async def test_30_phones_ten_minutes_off_are_answered_like_any(
    path: WholePath, skew: float
) -> None:
    """What a phone dates ahead was written now; the order is that of the phones' own clocks."""
    hooks = path.shop.hooks
    await path.receives(hooks.message("dua", at=path.now + skew - 5))
    await path.receives(hooks.message("satu", at=path.now + skew - 15))
    await path.settle()

    both = ["satu", "dua"] if skew < 0 else ["dua", "satu"]  # ahead: both are "now", as they came
    assert path.said() == ["Jawaban untuk: " + " | ".join(both)]
    future = await path.db.fetchval(
        "SELECT count(*) FROM messages WHERE sent_at > platform_now() + interval '1 second'"
    )
    assert future == 0
    assert await path.count("messages", "recovered") == 0
    await path.assert_clean()


# -- the database's own clock jumps ----------------------------------------------------------------


async def test_30_a_jump_backwards_takes_no_lease_and_loses_no_work(path: WholePath) -> None:
    """Ten minutes back while a model thinks, a bubble is out and a try is planned. Nothing is taken
    from anybody; what was planned is done when its time comes again."""
    planned = "6281230001001@c.us"
    path.scripted.next(is_away())
    await path.receives(path.shop.hooks.message("nanti", chat=planned, at=path.now))
    await path.settle()
    thinking = path.scripted.next_waits(says("Sudah dipikirkan"))
    await path.receives(path.shop.hooks.message("halo", at=path.now))
    turn = asyncio.create_task(path.settle())
    await thinking.entered()

    await path.jump(-TEN_MINUTES)
    assert [c.kind for c in await path.work.queue.claim(Queue.CRM_TASKS, 9, wait=_NOW)] == []
    thinking.go_on()
    await turn
    await path.settle()
    assert (await path.conversation())["lease_epoch"] == 1
    assert await path.count("turns", "outcome = 'replied'") == 1
    # the number's place in the pace is ten minutes ahead now, and so is the planned try
    assert await path.planned() == ["send", TURN]

    await path.later(TEN_MINUTES + 15)
    assert path.said() == ["Sudah dipikirkan"]
    assert path.said(planned)[-1] == "Jawaban untuk: nanti"
    assert len(path.said(planned)) == 2
    await path.receives(path.shop.hooks.message("lagi", at=path.now))
    await path.settle()
    assert path.said() == ["Sudah dipikirkan", "Jawaban untuk: lagi"]
    await path.assert_clean()


async def test_30_a_jump_forward_passes_the_turn_on_and_the_sleeper_writes_nothing(
    path: WholePath,
) -> None:
    thinking = path.scripted.next_waits(says("terlambat"))
    await path.receives(path.shop.hooks.message("halo", at=path.now))
    turn = asyncio.create_task(path.settle())
    await thinking.entered()
    await path.jump(TEN_MINUTES)
    await path.settle()
    assert path.said() == ["Jawaban untuk: halo"]
    before = await path.fetch("SELECT * FROM turn_steps")

    thinking.go_on()
    await turn
    await path.rest()
    assert path.said() == ["Jawaban untuk: halo"]
    assert await path.fetch("SELECT * FROM turn_steps") == before
    await path.assert_clean()


# -- an hour twice ------------------------------------------------------------------------------


async def test_30_the_hour_that_comes_twice_changes_no_order_and_no_wait(path: WholePath) -> None:
    """In Berlin, at the end of summer time, half past two comes twice. Rows hold UTC; only the
    clock that a prompt shows is the shop's."""
    await path.db.execute("UPDATE tenants SET timezone = 'Europe/Berlin'")
    second = datetime(2036, 10, 26, 1, 30, tzinfo=UTC).timestamp()
    await path.jump(second - 3600 - path.now)
    chat = path.shop.hooks
    await path.receives(chat.message("jam setengah tiga", at=path.now))
    await path.settle()
    await path.jump(second - path.now)
    await path.receives(chat.message("jam setengah tiga lagi", at=path.now))
    await path.settle()

    assert path.said() == [
        "Jawaban untuk: jam setengah tiga",
        "Jawaban untuk: jam setengah tiga lagi",
    ]
    first, later = path.scripted.turns
    assert timedelta(minutes=59) <= later.now - first.now <= timedelta(minutes=61)
    assert [said.text for said in later.history] == [
        "jam setengah tiga",
        "Jawaban untuk: jam setengah tiga",
    ]
    for turn in (first, later):
        assert "Sunday 2036-10-26 02:30 (Europe/Berlin)" in system_prompt(turn, "id")
    await path.assert_clean()
