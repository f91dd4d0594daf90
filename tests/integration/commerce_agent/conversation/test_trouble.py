"""Outages, errors, limits: late is said once, and nothing ends in silence."""

import asyncio
import random
from datetime import timedelta

import pytest

from commerce_agent.application.ports.shop_agent import EffectKey
from shared.config.settings import QueueSettings
from shared.messaging.consume import consume
from shared.messaging.port import Queue
from tests.integration.commerce_agent.conversation.conftest import Desk, open_desk
from tests.support import rows
from tests.support.postgres import TestDatabase
from tests.support.scripted_agent import fails, hands_over, is_away, says

TURN = "conversation.turn"
CHATS = tuple(f"62812300000{number:02}@c.us" for number in range(3))
HOLDING = "Mohon tunggu sebentar ya, Kak. Pesannya sudah kami terima dan segera kami balas. 🙏"
TO_STAFF = "Baik, Kak. Percakapan ini kami teruskan ke tim kami; mereka akan membalas di sini."


async def test_an_outage_says_one_holding_line_per_conversation_and_then_answers(
    desk: Desk,
) -> None:
    desk.agent.default = is_away("circuit_open")
    for chat in CHATS:
        await desk.hears(f"halo {chat[:13]}", chat=chat)
    for minute in range(10):
        await desk.db.jump(minute * 60)
        assert set(await desk.drain()) <= {"conversation.turn postponed"}
        if minute == 3:
            await desk.hears("masih di sana?", chat=CHATS[0])

    assert await desk.bubbles() == [HOLDING] * 3
    assert {row["trouble"] for row in await desk.db.fetch("SELECT * FROM conversations")} == {
        "circuit_open"
    }
    assert await desk.db.fetchval("SELECT max(attempts) FROM queue_messages") == 0
    assert await desk.db.fetchval("SELECT max(failed_turns) FROM conversations") == 0

    desk.agent.default = says("Halo!")
    await desk.db.jump(15 * 60)
    await desk.drain()
    assert await desk.bubbles("ai") == ["Halo!"] * 3
    assert set((await desk.answered()).values()) == {"ai"}
    recovered = await desk.db.fetch("SELECT trouble, incident_since FROM conversations")
    assert all(row["trouble"] is None and row["incident_since"] is None for row in recovered)


async def test_the_next_incident_has_a_holding_line_of_its_own(desk: Desk) -> None:
    desk.agent.next(is_away(), says("Halo!"), is_away(), says("Halo lagi!"))
    await desk.hears("satu")
    await desk.drain()
    await desk.db.jump(60)
    await desk.drain()
    await desk.hears("dua")
    await desk.drain()
    await desk.db.jump(120)
    await desk.drain()

    assert await desk.bubbles() == [HOLDING, "Halo!", HOLDING, "Halo lagi!"]


async def test_the_holding_line_speaks_the_customers_language(desk: Desk) -> None:
    await desk.hears("hello")
    await desk.db.execute("UPDATE customers SET language = 'en'")
    desk.agent.next(is_away())
    await desk.drain()

    assert (await desk.bubbles())[0].startswith("One moment please.")


async def test_what_the_provider_asks_for_is_waited(desk: Desk) -> None:
    await desk.hears("halo")
    desk.agent.next(is_away("rate_limit", timedelta(seconds=100)))
    await desk.drain()
    wait = await desk.db.fetchval(
        "SELECT extract(epoch FROM available_at - platform_now())::float8 FROM queue_messages"
        f" WHERE kind = '{TURN}'"
    )
    assert isinstance(wait, float)
    assert 95 < wait <= 150


async def test_after_two_hours_a_person_goes_on(desk: Desk) -> None:
    desk.agent.default = is_away("circuit_open")
    await desk.hears("halo")
    await desk.drain()
    await desk.db.jump(7300)
    await desk.drain()

    conversation = await desk.conversation()
    assert conversation["owner"] == "person"
    assert await _handed_over_because(desk) == "circuit_open"
    assert await desk.bubbles() == [HOLDING, TO_STAFF]
    assert await desk.answered() == {"halo": "handed_over"}


async def test_a_turn_that_takes_too_long_is_deferred_like_an_outage(
    test_database: TestDatabase,
) -> None:
    async with open_desk(test_database, turn_deadline_seconds=0.3) as desk:
        await desk.hears("halo")
        barrier = desk.agent.next_waits()
        assert await desk.do(await desk.claim(TURN)) == "postponed"
        await barrier.entered()

        assert (await desk.conversation())["trouble"] == "turn_deadline"
        assert await desk.bubbles() == [HOLDING]
        await desk.db.jump(60)
        await desk.drain()
        assert (await desk.bubbles())[1] == "Jawaban untuk: halo"


async def test_an_unknown_error_three_times_hands_over_and_is_not_silent(desk: Desk) -> None:
    desk.agent.default = fails(RuntimeError("a bug"))
    await desk.hears("halo")
    stop = asyncio.Event()
    loop = asyncio.create_task(
        consume(
            desk.work.queue,
            [Queue.CRM_TASKS],
            desk.container.routes,
            stop=stop,
            settings=QueueSettings(queue_poll_seconds=timedelta(seconds=0.1)),
            rng=_NoWait(),
        )
    )
    async with asyncio.timeout(30):
        while not await desk.count("dead_letters"):
            await asyncio.sleep(0.05)
    stop.set()
    await loop

    assert len(desk.agent.turns) == 3
    conversation = await desk.conversation()
    assert (conversation["owner"], conversation["owner_reason"]) == (
        "person",
        "handed over: unexpected_error",
    )
    assert await desk.bubbles() == [TO_STAFF]
    assert await desk.answered() == {"halo": "handed_over"}
    assert await desk.count("turns", "state = 'open'") == 0
    assert await desk.db.fetchval("SELECT code FROM dead_letters") == "unexpected_error"


async def test_an_error_gives_the_lease_back_so_that_the_next_try_need_not_wait(
    desk: Desk,
) -> None:
    await desk.hears("halo")
    desk.agent.next(fails(RuntimeError("a bug")))
    claim = await desk.claim(TURN)
    with pytest.raises(RuntimeError):
        await desk.do(claim)
    assert (await desk.conversation())["lease_until"] is None
    await desk.work.queue.retry(claim, delay=timedelta(0))
    await desk.drain()
    assert await desk.bubbles() == ["Jawaban untuk: halo"]


async def test_templates_are_sent_twice_and_the_third_in_a_row_hands_over(desk: Desk) -> None:
    desk.agent.default = says("Mohon maaf, boleh diulang?", fault="invalid_draft")
    for text in ("satu", "dua", "tiga"):
        await desk.hears(text)
        await desk.drain()
        await desk.all_sent()

    assert await desk.bubbles() == ["Mohon maaf, boleh diulang?"] * 2 + [TO_STAFF]
    assert (await desk.conversation())["owner"] == "person"
    assert await desk.answered() == {"satu": "ai", "dua": "ai", "tiga": "handed_over"}


async def test_a_real_answer_between_ends_the_row_of_failures(desk: Desk) -> None:
    desk.agent.next(
        says("maaf", fault="x"), says("maaf", fault="x"), says("ini"), says("maaf", fault="x")
    )
    for text in ("satu", "dua", "tiga", "empat"):
        await desk.hears(text)
        await desk.drain()

    conversation = await desk.conversation()
    assert (conversation["owner"], conversation["failed_turns"]) == ("ai", 1)


async def test_hand_over_by_tool_happens_once_also_when_it_is_repeated(desk: Desk) -> None:
    async def hand_over(effect: EffectKey) -> str:
        return await desk.people.hand_over(
            desk.tenant,
            effect.conversation_id,
            reason="wants a person",
            summary="Asks about catering.",
            team="catering",
            effect=effect,
        )

    await desk.hears("saya mau bicara dengan orang")
    desk.agent.next(hands_over(hand_over))
    assert await desk.drain() == ["conversation.turn done"]

    conversation = await desk.conversation()
    assert (conversation["owner"], conversation["owner_epoch"]) == ("person", 2)
    assert await desk.bubbles() == [TO_STAFF]
    assert await desk.count("turn_steps", "kind = 'tool'") == 1
    assert await desk.count("turns", "outcome = 'handed_over'") == 1
    assert await desk.count("domain_events", "name = 'conversation.handed_over'") == 1


async def test_the_thirteenth_ai_reply_in_ten_minutes_is_a_hand_over(desk: Desk) -> None:
    for number in range(13):
        await desk.hears(f"robot {number}")
        await desk.drain()

    assert len(await desk.bubbles("ai")) == 12
    assert await desk.bubbles("notice") == [TO_STAFF]
    assert await _handed_over_because(desk) == "too_many_replies"


async def test_a_customer_who_used_up_the_hours_turns_is_handed_over(
    test_database: TestDatabase,
) -> None:
    async with open_desk(test_database, turns_per_customer_hour=2) as desk:
        for text in ("satu", "dua", "tiga"):
            await desk.hears(text)
            await desk.drain()
        assert len(await desk.bubbles("ai")) == 2
        assert await _handed_over_because(desk) == "too_many_turns"


async def test_a_suspended_shop_answers_nobody_and_goes_on_when_it_is_back(desk: Desk) -> None:
    await desk.db.execute("UPDATE tenants SET status = 'suspended'")
    await desk.hears("halo")
    assert await desk.drain() == ["conversation.turn postponed"]
    assert await desk.bubbles() == []

    await desk.db.execute("UPDATE tenants SET status = 'active'")
    await desk.db.jump(400)
    await desk.drain()
    assert await desk.bubbles() == ["Jawaban untuk: halo"]


async def test_another_tenants_outage_touches_nobody_else(desk: Desk) -> None:
    other = await rows.a_tenant(desk.db)
    channel = await rows.a_channel(desk.db, other)
    await desk.deliver(desk.hooks.message("halo"), tenant=other, channel=channel)
    await desk.do(await desk.claim("inbox.waha"))
    desk.agent.next(is_away())
    await desk.drain()
    await desk.hears("hai")
    await desk.drain()

    found = await desk.db.fetch("SELECT tenant_id, kind FROM sends ORDER BY kind")
    assert [(row["tenant_id"], row["kind"]) for row in found] == [
        (desk.tenant, "ai"),
        (other, "holding"),
    ]


async def _handed_over_because(desk: Desk) -> object:
    return await desk.db.fetchval("SELECT handover->>'reason' FROM conversations")


class _NoWait(random.Random):
    """Full jitter may also mean not to wait at all."""

    def random(self) -> float:
        return 0.0
