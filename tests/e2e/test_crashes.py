"""Processes are killed at the worst moments; the customer notices nothing, or waits a little.

Each test has a stack of its own. The ledgers of the fake model and the fake WAHA say what really
left, the database what was kept.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx2
import pytest

from tests.support.fake_llm import CallTools, FakeLlm, Fault, Hang, LlmRequest, Say
from tests.support.fake_waha import Delay, FakeWaha
from tests.support.fake_waha import Hang as HangingCall
from tests.support.stack import Shop, Stack, until
from tests.support.waha_webhooks import CUSTOMER

ANSWER = "Siap Kak Ani, sudah dicatat."


@pytest.fixture
def stack(own_stack: Stack) -> Stack:
    return own_stack


async def test_a_worker_killed_after_a_tools_effect_does_it_once(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    llm.script(CallTools(("update_customer_profile", {"name": "Ani"})), Hang())
    await shop.receives(shop.hooks.message("nama saya Ani"))
    await until(lambda: len(llm.requests) == 2)  # the effect has committed, the answer hangs
    stack.kill("commerce-agent")
    llm.rule = lambda request: Say(ANSWER)
    stack.start("commerce-agent")
    await _answered_once(shop, waha)
    assert _tools_run(llm.requests[-1]) == ["update_customer_profile"]
    effects = await stack.database.fetchval(
        "SELECT count(*) FROM turn_steps WHERE tenant_id = $1 AND kind = 'tool'", shop.id
    )
    assert effects == 1
    told = await stack.database.fetchval(
        "SELECT count(*) FROM domain_events WHERE tenant_id = $1 AND name LIKE 'customer.%updated'",
        shop.id,
    )
    assert told == 1
    assert await stack.database.fetchval("SELECT name FROM customers") == "Ani"


async def test_a_worker_killed_before_the_commit_answers_once(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    llm.script(Say(ANSWER, delay=0.5))
    llm.rule = lambda request: Say(ANSWER)
    await shop.receives(shop.hooks.message("halo"))
    await until(lambda: llm.requests)
    async with _locked_conversation(stack):
        await until(lambda: _waits_for_the_lock(stack))
        stack.kill("commerce-agent")
    stack.start("commerce-agent")
    await _answered_once(shop, waha)


async def test_a_worker_killed_after_the_commit_answers_once(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    llm.rule = lambda request: Say(ANSWER)
    waha.fault("/api/startTyping", Delay(1.0))
    await shop.receives(shop.hooks.message("halo"))
    await until(lambda: _sends(stack, "pending"))
    stack.kill("commerce-agent")
    stack.start("commerce-agent")
    await _answered_once(shop, waha)


async def test_a_messenger_killed_after_the_send_does_not_send_again(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    llm.rule = lambda request: Say(ANSWER)
    waha.fault("/api/sendText", HangingCall(done=True))
    await shop.receives(shop.hooks.message("halo"))
    await waha.until(lambda: bool(waha.texts(CUSTOMER)), seconds=30)
    stack.kill("messenger")
    [sent] = waha.sent[CUSTOMER]
    await shop.receives(shop.hooks.own(ANSWER, source="api", native_id=sent.native_id))
    stack.start("messenger")
    await _answered_once(shop, waha)
    assert await stack.database.fetchval("SELECT owner FROM conversations") == "ai"


async def test_a_messenger_killed_after_the_send_finds_it_without_an_echo(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    llm.rule = lambda request: Say(ANSWER)
    waha.fault("/api/sendText", HangingCall(done=True))
    await shop.receives(shop.hooks.message("halo"))
    await waha.until(lambda: bool(waha.texts(CUSTOMER)), seconds=30)
    stack.kill("messenger")
    stack.start("messenger")
    await _answered_once(shop, waha)


async def test_a_gateway_killed_under_load_loses_nothing_it_accepted(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    llm.rule = lambda request: Say(ANSWER)
    accepted: list[str] = []

    async def deliver(number: int) -> None:
        message = shop.hooks.message(f"pesan {number}")
        with suppress(httpx2.TransportError):  # the gateway died under it
            await shop.receives(message)
            accepted.append(message.native_id)

    tasks = [asyncio.create_task(deliver(number)) for number in range(60)]
    await until(lambda: len(accepted) >= 5)
    stack.kill("gateway")
    await asyncio.gather(*tasks, return_exceptions=True)
    stack.start("gateway")
    await stack.ready()

    async def all_stored() -> bool:
        stored = await stack.database.fetch("SELECT native_id FROM messages WHERE direction = 'in'")
        return set(accepted) <= {row["native_id"] for row in stored}

    await until(all_stored)


async def test_a_worker_asked_to_end_while_the_model_thinks_leaves_the_turn_to_the_next(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    llm.script(Hang())
    llm.rule = lambda request: Say(ANSWER)
    await shop.receives(shop.hooks.message("halo"))
    await until(lambda: llm.requests)
    exit_code = await asyncio.to_thread(stack.stop, "commerce-agent")
    assert exit_code == 0
    stack.start("commerce-agent")
    await _answered_once(shop, waha)


async def test_without_redis_everything_is_answered_all_the_same(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    llm.rule = lambda request: Say(ANSWER)
    stack.kill_redis()
    await shop.receives(shop.hooks.message("halo"))
    await _answered_once(shop, waha)
    ready = await stack.http.get("/ready")
    assert (ready.status_code, ready.json()["checks"]["cache"]) == (200, "degraded")


async def test_a_model_outage_is_one_holding_line_per_customer_and_then_answers(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    llm.rule = lambda request: Fault(503)
    chats = [f"62812300001{n}@c.us" for n in range(3)]
    for chat in chats:
        await shop.receives(shop.hooks.message("halo, buka?", chat=chat))
    await waha.until(lambda: all(waha.texts(chat) for chat in chats), seconds=30)
    for minute in (4, 8, 12):
        await stack.database.jump(minute * 60)
        await until(lambda: _nothing_is_due(stack))
        await shop.receives(shop.hooks.message(f"halo? {minute}", chat=chats[0]))
    assert [len(waha.texts(chat)) for chat in chats] == [1, 1, 1]
    llm.rule = lambda request: Say("Buka kak, silakan.")

    async def answered_after_a_while() -> bool:
        nonlocal minute  # the circuit breaker lets the first ones wait once more
        minute += 4
        await stack.database.jump(minute * 60)
        await until(lambda: _nothing_is_due(stack))
        return all(len(waha.texts(chat)) == 2 for chat in chats)

    await until(answered_after_a_while)
    assert [waha.texts(chat)[-1] for chat in chats] == ["Buka kak, silakan."] * 3
    assert await stack.database.fetchval("SELECT count(*) FROM turns WHERE state = 'open'") == 0
    owners = await stack.database.fetch("SELECT DISTINCT owner FROM conversations")
    assert [row["owner"] for row in owners] == ["ai"]


# -- what every crash must lead to -------------------------------------------------------------


async def _answered_once(shop: Shop, waha: FakeWaha) -> None:
    async def settled() -> bool:
        left = await shop.stack.database.fetchval("SELECT count(*) FROM queue_messages")
        sent = await shop.stack.database.fetchval("SELECT count(*) FROM sends WHERE state = 'sent'")
        return left == 0 and sent == 1

    await until(settled)
    assert waha.texts(CUSTOMER) == [ANSWER]
    database = shop.stack.database
    assert await database.fetchval("SELECT count(*) FROM sends") == 1
    assert await database.fetchval("SELECT count(*) FROM turns") == 1
    unanswered = "SELECT count(*) FROM messages WHERE answered_how IS DISTINCT FROM 'ai'"
    assert await database.fetchval(f"{unanswered} AND direction = 'in'") == 0


async def _nothing_is_due(stack: Stack) -> bool:
    due = await stack.database.fetchval(
        "SELECT count(*) FROM queue_messages WHERE available_at <= platform_now() "
        "OR lease_until > platform_now()"
    )
    return due == 0


async def _sends(stack: Stack, state: str) -> bool:
    count = await stack.database.fetchval("SELECT count(*) FROM sends WHERE state = $1", state)
    return bool(count)


async def _waits_for_the_lock(stack: Stack) -> bool:
    waiting = await stack.database.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND datname = current_database()"
    )
    return bool(waiting)


@asynccontextmanager
async def _locked_conversation(stack: Stack) -> AsyncIterator[None]:
    """Hold the conversation's row, so that whoever wants to commit waits."""
    async with stack.database.admin() as connection, connection.transaction():
        await connection.execute("SELECT FROM conversations FOR UPDATE")
        yield


def _tools_run(request: LlmRequest) -> list[str]:
    """The tools whose results this request already carries."""
    return [
        call["function"]["name"]
        for message in request.body["messages"]
        for call in message.get("tool_calls") or ()
    ]
