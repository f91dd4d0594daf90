"""Processes that die, stand still, are told to end, or run twice. Real ones, on the embedded
servers; every boundary of a run is killed one by one in `test_crash_enumeration`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx2
import pytest
import pytest_asyncio
from asyncpg import Record

from shared.persistence.begun import IDLE_SECONDS
from tests.fault import plants
from tests.support.fake_llm import FakeLlm, Hang, Say
from tests.support.fake_waha import Delay, FakeWaha
from tests.support.fake_waha import Hang as HangingCall
from tests.support.fork_server import ForkedService
from tests.support.postgres import PostgresForTests
from tests.support.stack import Shop, Stack, until
from tests.support.waha_webhooks import CUSTOMER, Webhook

ANSWER = "Siap Kak, ada yang bisa dibantu?"
PLANTS = plants.__name__
DRAIN_SECONDS = 2
"""WORKER_DRAIN_SECONDS here; 25 where people run it."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_stack(
    tmp_path_factory: pytest.TempPathFactory, embedded_postgres: PostgresForTests
) -> AsyncIterator[Stack]:
    """One for all tests here: each has a shop of its own and leaves every service running."""
    async with Stack(
        tmp_path_factory.mktemp("stack"),
        settings={
            "MESSAGE_BUFFER_INITIAL_DELAY": "0.1",
            "UNKNOWN_SEND_SECONDS": "2",
            "WORKER_DRAIN_SECONDS": str(DRAIN_SECONDS),
        },
        postgres=embedded_postgres,
    ) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def stack(shared_stack: Stack) -> AsyncIterator[Stack]:
    yield shared_stack
    await shared_stack.ready()
    # its WAHA ends with it: nobody shall look after the number any longer
    await shared_stack.database.execute("UPDATE channels SET active = false")
    await shared_stack.database.execute("UPDATE queue_messages SET available_at = platform_now()")
    await shared_stack.auditor.assert_clean()


@pytest.fixture
def llm(llm: FakeLlm) -> FakeLlm:
    llm.rule = lambda request: Say(ANSWER)
    return llm


async def _rows(shop: Shop, table: str, where: str = "true") -> int:
    count = await shop.stack.database.fetchval(
        f"SELECT count(*) FROM {table} WHERE tenant_id = $1 AND {where}", shop.id
    )
    assert isinstance(count, int)
    return count


async def _is_done(shop: Shop) -> bool:
    left = await _rows(shop, "queue_messages")
    waiting = await _rows(shop, "sends", "state IN ('pending', 'sending', 'unknown')")
    received = await _rows(shop, "inbox_events", "state = 'received'")
    return (left, waiting, received) == (0, 0, 0)


async def _answered_once(shop: Shop, waha: FakeWaha, *, messages: int = 1) -> None:
    """The end that every death must lead to."""
    await waha.until(lambda: bool(waha.texts()), seconds=40)
    await until(lambda: _is_done(shop))
    assert waha.texts(CUSTOMER) == [ANSWER]
    assert waha.paths("sendText") == ["sendText"]
    assert await _rows(shop, "messages") == messages
    assert await _rows(shop, "messages", "answered_how = 'ai'") == messages
    assert await _rows(shop, "turns") == 1
    assert await _rows(shop, "sends") == await _rows(shop, "sends", "state = 'sent'") == 1
    assert await _rows(shop, "dead_letters") == 0


async def _post(shop: Shop, webhook: Webhook) -> int | None:
    """The answer's status; ``None``: there was none."""
    try:
        answer = await shop.stack.http.post(
            shop.webhook_url, content=webhook.body, headers=webhook.headers
        )
    except httpx2.TransportError:
        return None
    return answer.status_code


@asynccontextmanager
async def _locked(stack: Stack, sql: str, *arguments: object) -> AsyncIterator[None]:
    """Hold a lock, so that whoever wants it waits in the middle of what they do."""
    async with stack.database.admin() as connection, connection.transaction():
        await connection.execute(sql, *arguments)
        yield


async def _leases_run_out(shop: Shop) -> None:
    """Those of whoever died or stands still; who lives renews its own."""
    for table in ("queue_messages", "conversations"):
        await shop.stack.database.execute(
            f"UPDATE {table} SET lease_until = platform_now()"
            " WHERE tenant_id = $1 AND lease_until IS NOT NULL",
            shop.id,
        )


async def _waits_for_a_lock(stack: Stack) -> bool:
    return bool(
        await stack.database.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        )
    )


@contextlib.contextmanager
def _standing_still(stack: Stack, service: str) -> Iterator[None]:
    """SIGSTOP, and SIGCONT at the end."""
    stack.pause(service)
    try:
        yield
    finally:
        stack.resume(service)


@contextlib.contextmanager
def _another(stack: Stack, *services: str) -> Iterator[list[ForkedService]]:
    """A second process of each of these services."""
    started = [stack.start_another(service) for service in services]
    try:
        yield started
    finally:
        for service in started:
            service.resume()
            service.stop()


# -- 1: the gateway dies ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plant", "word", "rows"),
    [("die_before_storing", plants.LAST_BREATH, 0), ("die_before_answering", plants.LAST_WORD, 1)],
)
async def test_1_a_gateway_that_dies_gives_no_answer_and_the_retry_finds_or_makes_the_row(
    stack: Stack, llm: FakeLlm, waha: FakeWaha, plant: str, word: str, rows: int
) -> None:
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    stack.kill("gateway")
    stack.start("gateway", patch=f"{PLANTS}:{plant}")
    await stack.ready()
    message = shop.hooks.message(word)

    assert await _post(shop, message) is None
    await until(lambda: stack.has_ended("gateway"))
    assert await _rows(shop, "inbox_events") == rows
    stack.start("gateway")
    await stack.ready()
    await shop.receives(message)
    await _answered_once(shop, waha)
    assert await _rows(shop, "inbox_events") == 1


# -- 31: a message that kills whoever reads it ------------------------------------------------


async def test_31_a_message_that_kills_its_process_is_parked_after_three_and_takes_nobody_along(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    """Six other customers' messages are in the same hands each time."""
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    chats = [f"62812300005{number:02}@c.us" for number in range(6)]
    stack.kill("commerce-agent")
    poison = shop.hooks.message(f"ini {plants.POISON}")
    await shop.receives(poison)
    for chat in chats:
        await shop.receives(shop.hooks.message("halo", chat=chat))

    deaths = 0
    while not await _rows(shop, "dead_letters"):
        stack.start("commerce-agent", patch=f"{PLANTS}:poison")
        await until(lambda: _died_or_buried(shop))
        if stack.has_ended("commerce-agent"):
            await _leases_run_out(shop)
            deaths += 1
            assert deaths <= 3

    assert deaths == 3
    await until(lambda: _is_done(shop))
    letters = await stack.database.fetch(
        "SELECT kind, code FROM dead_letters WHERE tenant_id = $1", shop.id
    )
    assert [tuple(letter) for letter in letters] == [("inbox.waha", "attempts_spent")]
    assert await _rows(shop, "inbox_events", "state = 'parked' AND reason = 'attempts_spent'") == 1
    assert [waha.texts(chat) for chat in chats] == [[ANSWER]] * 6
    assert waha.texts(CUSTOMER) == []
    assert await _rows(shop, "messages", "answered_how = 'ai'") == 6
    # people see it, and who comes after it is served as ever
    listed = await shop.call("GET", "/dead-letters")
    assert [letter["code"] for letter in listed["data"]] == ["attempts_spent"]
    await shop.receives(shop.hooks.message("halo lagi"))
    await waha.until(lambda: waha.texts(CUSTOMER) == [ANSWER], seconds=40)
    stack.kill("commerce-agent")
    stack.start("commerce-agent")


async def _died_or_buried(shop: Shop) -> bool:
    return shop.stack.has_ended("commerce-agent") or bool(await _rows(shop, "dead_letters"))


# -- 34: told to end --------------------------------------------------------------------------


async def _ends_in_time(stack: Stack, service: str) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await asyncio.to_thread(stack.stop, service) == 0
    assert loop.time() - began <= DRAIN_SECONDS + 2


async def test_34_told_to_end_while_the_model_thinks_the_turn_goes_back(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    """One model answers within the time that is left, another never does."""
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    other, quick = "6281230000602@c.us", "6281230000603@c.us"
    llm.script(Hang(), Say(ANSWER, delay=0.5))
    await shop.receives(shop.hooks.message("halo", chat=other))
    await until(lambda: len(llm.requests) == 1)
    await shop.receives(shop.hooks.message("halo", chat=quick))
    await until(lambda: len(llm.requests) == 2)
    await _ends_in_time(stack, "commerce-agent")

    assert await _rows(shop, "queue_messages", "lease_id IS NOT NULL") == 0
    assert await _rows(shop, "queue_messages", "attempts > 0") == 0
    await waha.until(lambda: waha.texts(quick) == [ANSWER], seconds=20)
    assert waha.texts(other) == []
    stack.start("commerce-agent")
    await waha.until(lambda: waha.texts(other) == [ANSWER], seconds=40)
    await until(lambda: _is_done(shop))
    assert len(llm.requests) == 3
    assert await _rows(shop, "turns") == 2


async def test_34_told_to_end_while_a_commit_waits_nothing_is_lost_or_doubled(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    llm.script(Say(ANSWER, delay=0.5))
    await shop.receives(shop.hooks.message("halo"))
    await until(lambda: llm.requests)
    async with _locked(stack, "SELECT FROM conversations WHERE tenant_id = $1 FOR UPDATE", shop.id):
        await until(lambda: _waits_for_a_lock(stack))
        await _ends_in_time(stack, "commerce-agent")
    stack.start("commerce-agent")
    await _answered_once(shop, waha)


@pytest.mark.parametrize("answers", [True, False], ids=["that answers", "that hangs"])
async def test_34_told_to_end_during_a_send_it_leaves_once(
    stack: Stack, llm: FakeLlm, waha: FakeWaha, answers: bool
) -> None:
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    waha.fault("/api/sendText", Delay(0.4) if answers else HangingCall(done=True))
    await shop.receives(shop.hooks.message("halo"))
    await waha.until(lambda: "sendText" in waha.paths(), seconds=40)
    await _ends_in_time(stack, "messenger")

    states = {"sent"} if answers else {"sending", "unknown"}
    [send] = await stack.database.fetch("SELECT state FROM sends WHERE tenant_id = $1", shop.id)
    assert send["state"] in states
    stack.start("messenger")
    await _answered_once(shop, waha)


async def test_34_a_gateway_told_to_end_answers_what_it_has_begun(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    message = shop.hooks.message("halo")
    async with _locked(stack, "LOCK TABLE inbox_events IN EXCLUSIVE MODE"):
        begun = asyncio.create_task(_post(shop, message))
        await until(lambda: _waits_for_a_lock(stack))
        ending = asyncio.create_task(asyncio.to_thread(stack.stop, "gateway"))
        await until(lambda: _refuses(stack))
    assert await begun == 200
    assert await ending == 0
    stack.start("gateway")
    await stack.ready()
    await _answered_once(shop, waha)


async def _refuses(stack: Stack) -> bool:
    """Nobody new is let in."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    except OSError:
        return True
    writer.close()
    return False


# -- 37: standing still -----------------------------------------------------------------------


async def test_37_a_worker_that_stood_still_past_its_lease_commits_nothing(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    llm.script(Say("dari yang tertidur", delay=1.0))
    await shop.receives(shop.hooks.message("halo"))
    await until(lambda: llm.requests)
    with _standing_still(stack, "commerce-agent"), _another(stack, "commerce-agent"):
        await _leases_run_out(shop)
        await _answered_once(shop, waha)
        before = await _journal(shop)
    # awake again and alone, it takes work as ever: what it had in hand is behind it
    await shop.receives(shop.hooks.message("halo", chat="6281230000702@c.us"))
    await waha.until(lambda: len(waha.texts()) == 2, seconds=40)
    assert await _journal(shop) == before
    assert waha.texts() == [ANSWER, ANSWER]
    assert len(llm.requests) == 3


async def _journal(shop: Shop) -> list[tuple[object, ...]]:
    """The steps of the shop's first turn."""
    rows = await shop.stack.database.fetch(
        "SELECT s.step, s.kind, s.lease_epoch, s.body::text FROM turn_steps s"
        " WHERE s.turn_id = (SELECT id FROM turns WHERE tenant_id = $1 ORDER BY started_at LIMIT 1)"
        " ORDER BY s.step",
        shop.id,
    )
    return [tuple(row) for row in rows]


async def test_37_a_messenger_that_stood_still_during_its_call_changes_nothing_any_more(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    """WAHA has sent it; another messenger finds that out; the answer that comes with the awakening
    ends nothing a second time."""
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    waha.fault("/api/sendText", Delay(0.5))
    await shop.receives(shop.hooks.message("halo"))
    await waha.until(lambda: "sendText" in waha.paths(), seconds=40)
    with _standing_still(stack, "messenger"), _another(stack, "messenger"):
        await _leases_run_out(shop)
        await _answered_once(shop, waha)
        before = await _first_send(shop)
    # awake again and alone, it sends as ever: what it had in hand is behind it
    await shop.receives(shop.hooks.message("halo", chat="6281230000704@c.us"))
    await waha.until(lambda: len(waha.texts()) == 2, seconds=40)
    await until(lambda: _is_done(shop))
    assert await _first_send(shop) == before
    assert (before["state"], before["claim_no"]) == ("sent", 1)
    assert await _rows(shop, "domain_events", "name = 'send.sent'") == 2


async def _first_send(shop: Shop) -> Record:
    found = await shop.stack.database.fetch(
        "SELECT * FROM sends WHERE tenant_id = $1 ORDER BY created_at", shop.id
    )
    return found[0]


@pytest.mark.whole
async def test_37_a_worker_that_stands_still_inside_a_transaction_holds_up_nobody_for_long(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    """It has the conversation's lock and the model's answer. The server ends its transaction, and
    another worker says what the model has answered."""
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    llm.script(Say(ANSWER, delay=0.5))
    await shop.receives(shop.hooks.message("halo"))
    await until(lambda: llm.requests)
    lock = "SELECT FROM conversations WHERE tenant_id = $1 FOR UPDATE"
    async with _locked(stack, lock, shop.id):
        await until(lambda: _waits_for_a_lock(stack))
        stack.pause("commerce-agent")
    # the lock is its own now, and it hears nothing of that
    await until(lambda: _is_idle_in_a_transaction(stack))
    began = asyncio.get_running_loop().time()
    try:
        with _another(stack, "commerce-agent"):
            await _answered_once(shop, waha)
    finally:
        stack.resume("commerce-agent")
    assert asyncio.get_running_loop().time() - began < IDLE_SECONDS + 15


async def _is_idle_in_a_transaction(stack: Stack) -> bool:
    return bool(
        await stack.database.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
            " AND datname = current_database()"
        )
    )


async def test_37_a_worker_whose_event_loop_is_blocked_loses_its_turn_and_no_message(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    stack.kill("commerce-agent")
    stack.start("commerce-agent", patch=f"{PLANTS}:jam")
    await stack.ready()
    await shop.receives(shop.hooks.message(f"jalanan {plants.JAM}"))
    await until(lambda: (stack.run_dir / "jammed").exists())
    with _another(stack, "commerce-agent"):
        await shop.receives(shop.hooks.message("halo", chat="6281230000703@c.us"))
        await _answered_once_each(shop, waha, CUSTOMER, "6281230000703@c.us")
    stack.kill("commerce-agent")
    stack.start("commerce-agent")


async def _answered_once_each(shop: Shop, waha: FakeWaha, *chats: str) -> None:
    await waha.until(lambda: all(waha.texts(chat) for chat in chats), seconds=40)
    await until(lambda: _is_done(shop))
    assert [waha.texts(chat) for chat in chats] == [[ANSWER]] * len(chats)
    assert await _rows(shop, "turns") == len(chats)
    assert await _rows(shop, "dead_letters") == 0


# -- 40: two of everything --------------------------------------------------------------------


async def test_40_two_of_every_service_have_effects_once(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    """Both sweepers find what lost its work, both look after the same number, both messengers want
    the same bubbles; the history holds what nobody told us."""
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    for service in ("commerce-agent", "messenger"):
        stack.kill(service)
    chats = [f"62812300008{number:02}@c.us" for number in range(4)]
    for chat in chats[:2]:
        await shop.receives(shop.hooks.message("halo", chat=chat))
    for chat in chats[2:]:  # missed: only WAHA knows
        waha.remember(chat, shop.hooks.payload("halo", chat=chat))
    await stack.database.execute("DELETE FROM queue_messages WHERE tenant_id = $1", shop.id)
    await stack.database.execute(
        "UPDATE channels SET history_watermark = platform_now() - interval '10 minutes'"
        " WHERE tenant_id = $1",
        shop.id,
    )
    await stack.database.jump(60)  # what waits without work is found after half a minute
    with _another(stack, "commerce-agent", "messenger"):
        for service in ("commerce-agent", "messenger"):
            stack.start(service)
        await waha.until(lambda: all(waha.texts(chat) for chat in chats), seconds=40)
        await until(lambda: _is_done(shop))

    assert [waha.texts(chat) for chat in chats] == [[ANSWER]] * 4
    assert len(waha.paths("sendText")) == 4
    for table in ("messages", "conversations", "turns", "sends", "inbox_events"):
        assert await _rows(shop, table) == 4
    assert await _rows(shop, "messages", "recovered") == 2
