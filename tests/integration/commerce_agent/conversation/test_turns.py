"""The turn engine: bursts, late bubbles, crashes, fencing, owners."""

import asyncio
import time
from datetime import timedelta
from functools import partial

import pytest

from commerce_agent.application.ports.shop_agent import (
    AgentOutcome,
    EffectKey,
    Fenced,
    Journal,
    Spoken,
    ToolRequest,
    Turn,
)
from commerce_agent.application.services.customer_service import CustomerService
from commerce_agent.application.services.turn_journal import TurnJournal
from commerce_agent.domain.repositories.conversation_repository import Lease
from commerce_agent.domain.value_objects.ids import CustomerId
from shared.kernel.clock import utc_now
from shared.messaging.port import Queue
from tests.integration.commerce_agent.conversation.conftest import Desk, open_desk
from tests.support import rows
from tests.support.postgres import TestDatabase
from tests.support.scripted_agent import calls_tool, says

TURN = "conversation.turn"
_LEASE_OVER = 40.0


async def test_a_turn_answers_what_was_said_and_leaves_nothing_to_do(desk: Desk) -> None:
    await desk.hears("ada kopi?")
    await desk.drain()

    send = (await desk.db.fetch("SELECT * FROM sends"))[0]
    turn = (await desk.db.fetch("SELECT * FROM turns"))[0]
    message = (await desk.db.fetch("SELECT * FROM messages"))[0]
    conversation = await desk.conversation()
    assert (send["body"], send["kind"], send["seq"]) == ("Jawaban untuk: ada kopi?", "ai", 1)
    assert send["owner_epoch"] == conversation["owner_epoch"] == 1
    assert send["reply_id"] == turn["reply_id"] == message["answered_by"]
    assert (turn["state"], turn["outcome"], turn["prompt_version"]) == (
        "ended",
        "replied",
        "test-1",
    )
    assert (turn["model"], turn["tokens_in"], turn["tokens_out"]) == ("scripted", 10, 5)
    assert conversation["lease_until"] is None
    assert conversation["first_unanswered_at"] is None
    assert await desk.count("queue_messages", "queue = 'crm_tasks'") == 0
    work = (await desk.db.fetch("SELECT * FROM queue_messages"))[0]
    assert (work["kind"], work["key"]) == ("send", str(send["id"]))
    assert (work["ordering_key"], work["position"]) == (str(conversation["id"]), 1)
    assert await desk.count("domain_events", "name = 'conversation.replied'") == 1


async def test_twenty_concurrent_bubbles_are_one_turn_and_none_is_lost(
    test_database: TestDatabase,
) -> None:
    async with open_desk(
        test_database, message_buffer_initial_delay=5, message_buffer_max_delay=10
    ) as desk:
        texts = [f"gelembung {number:02}" for number in range(20)]
        await desk.deliver(*(desk.hooks.message(text, at=time.time() - 1) for text in texts))
        claims = await desk.work.queue.claim(Queue.CRM_TASKS, 20, wait=timedelta(0))
        assert await asyncio.gather(*(desk.do(claim) for claim in claims)) == ["done"] * 20
        assert await desk.drain() == []

        await desk.db.jump(11)
        assert await desk.drain() == ["conversation.turn done"]
        assert len(desk.agent.turns) == 1
        assert sorted(desk.agent.seen[0]) == texts
        assert set((await desk.answered()).values()) == {"ai"}
        assert await desk.count("turns") == 1


async def test_a_bubble_that_comes_while_the_model_thinks_is_answered_in_the_same_reply(
    desk: Desk,
) -> None:
    await desk.hears("berapa harga latte")
    thinking = desk.agent.next_waits()
    turn = desk.thinking(await desk.claim(TURN))
    await thinking.entered()
    await desk.hears("yang dingin")
    thinking.go_on()
    assert await turn == "done"

    assert await desk.bubbles() == ["Jawaban untuk: berapa harga latte | yang dingin"]
    assert await desk.count("turns") == 1
    assert await desk.db.fetchval("SELECT discards FROM turns") == 1
    kinds = await desk.db.fetch("SELECT kind FROM turn_steps ORDER BY step")
    assert [row["kind"] for row in kinds] == ["read", "model", "discard", "read", "model"]
    # the late bubble raised the row's generation: it is looked at once more and nothing is found
    assert await desk.drain() == ["conversation.turn done"]
    assert len(desk.agent.turns) == 2
    assert await desk.count("queue_messages", "queue = 'crm_tasks'") == 0


async def test_a_turn_discards_at_most_two_drafts_and_the_rest_is_the_next_turn(
    desk: Desk,
) -> None:
    await desk.hears("satu")
    barriers = [desk.agent.next_waits() for _ in range(3)]
    turn = desk.thinking(await desk.claim(TURN))
    for number, barrier in enumerate(barriers):
        await barrier.entered()
        await desk.hears(f"lagi {number}")
        barrier.go_on()
    assert await turn == "done"

    assert await desk.bubbles() == ["Jawaban untuk: satu | lagi 0 | lagi 1"]
    assert await desk.db.fetchval("SELECT discards FROM turns") == 2
    assert (await desk.answered())["lagi 2"] is None
    assert (await desk.conversation())["first_unanswered_at"] is not None
    assert await desk.drain() == ["conversation.turn done"]
    assert (await desk.bubbles())[1] == "Jawaban untuk: lagi 2"
    assert await desk.count("turns") == 2


async def test_one_turn_at_a_time_a_taken_lease_postpones(desk: Desk) -> None:
    await desk.hears("halo")
    thinking = desk.agent.next_waits()
    claim = await desk.claim(TURN)
    turn = desk.thinking(claim)
    await thinking.entered()
    await desk.db.execute("UPDATE queue_messages SET lease_until = NULL, lease_id = NULL")
    assert await desk.do(await desk.claim(TURN)) == "postponed"
    assert len(desk.agent.turns) == 1
    thinking.go_on()
    assert await turn == "done"
    assert await desk.bubbles() == ["Jawaban untuk: halo"]


async def test_a_crash_after_an_effect_is_resumed_from_the_journal_and_the_effect_happens_once(
    desk: Desk,
) -> None:
    """The worker dies with the effect committed; another one goes on with the same turn."""
    calls: list[EffectKey] = []

    async def note(effect: EffectKey) -> str:
        calls.append(effect)
        assert effect.tenant_id == desk.tenant
        customer = CustomerId((await desk.conversation())["customer_id"])
        service = _customers(desk)
        return await service.update_profile(
            desk.tenant, customer, note=f"catatan {len(calls)}", effect=effect
        )

    await desk.hears("alamat saya ganti")
    desk.agent.next(calls_tool("update_customer_profile", note, then=_dies))
    with pytest.raises(_PowerCut):
        await desk.do(await desk.claim(TURN))
    assert await desk.bubbles() == []

    await desk.db.jump(_LEASE_OVER)
    desk.agent.next(calls_tool("update_customer_profile", note))
    assert await desk.drain() == ["conversation.turn done"]

    assert len(calls) == 1
    assert await desk.db.fetchval("SELECT note FROM customers") == "catatan 1"
    assert await desk.bubbles() == ["Jawaban untuk: alamat saya ganti"]
    assert await desk.count("turns") == 1
    assert desk.agent.turns[0].id == desk.agent.turns[1].id
    assert desk.agent.turns[1].lease_epoch == desk.agent.turns[0].lease_epoch + 1


async def test_a_repeated_effect_returns_what_it_said_the_first_time(desk: Desk) -> None:
    results: list[str] = []

    async def twice(effect: EffectKey) -> str:
        customer = CustomerId((await desk.conversation())["customer_id"])
        change = partial(_customers(desk).update_profile, desk.tenant, customer, effect=effect)
        results.extend([await change(name="Ani"), await change(name="Budi")])
        return results[0]

    await desk.hears("nama saya Ani")
    desk.agent.next(calls_tool("update_customer_profile", twice))
    await desk.drain()

    assert results[0] == results[1] == '{"updated":["name"]}'
    assert await desk.db.fetchval("SELECT name FROM customers") == "Ani"
    assert await desk.count("turn_steps", "kind = 'tool'") == 1


async def test_a_message_after_a_crash_joins_the_turn_that_was_left(desk: Desk) -> None:
    await desk.hears("halo")
    desk.agent.next(_draft_then_die)
    with pytest.raises(_PowerCut):
        await desk.do(await desk.claim(TURN))
    await desk.hears("masih ada?")
    await desk.db.jump(_LEASE_OVER)
    await desk.drain()

    assert await desk.bubbles() == ["Jawaban untuk: halo | masih ada?"]
    assert await desk.count("turns") == 1
    assert await desk.db.fetchval("SELECT discards FROM turns") == 1


async def test_a_draft_that_a_dead_worker_journaled_is_sent_without_asking_again(
    desk: Desk,
) -> None:
    await desk.hears("halo")
    desk.agent.next(_draft_then_die)
    with pytest.raises(_PowerCut):
        await desk.do(await desk.claim(TURN))
    await desk.db.jump(_LEASE_OVER)
    desk.agent.next(says("ini tidak dipakai"))
    await desk.drain()

    assert await desk.bubbles() == ["Draf pertama"]
    assert await desk.count("turn_steps", "kind = 'model'") == 1


async def test_a_stale_worker_is_fenced_out_everywhere(desk: Desk) -> None:
    """It sleeps past its leases, another answers, it wakes up: nothing it writes counts."""
    await desk.hears("halo")
    asleep = desk.agent.next_waits()
    stale = desk.thinking(await desk.claim(TURN))
    await asleep.entered()
    await desk.db.jump(_LEASE_OVER)
    assert await desk.do(await desk.claim(TURN)) == "done"
    before = await desk.db.fetch("SELECT * FROM turn_steps ORDER BY step")

    asleep.go_on()
    assert await stale == "postponed"

    assert await desk.db.fetch("SELECT * FROM turn_steps ORDER BY step") == before
    assert await desk.bubbles() == ["Jawaban untuk: halo"]


async def test_every_write_of_a_stale_worker_raises_fenced(desk: Desk) -> None:
    await desk.hears("halo")
    await desk.drain()
    turn = desk.agent.turns[0]
    conversation_id = turn.conversation_id
    uow = desk.container.turns.uow
    await desk.hears("lagi")
    await desk.drain()
    journal = TurnJournal(
        uow=uow,
        tenant_id=desk.tenant,
        turn_id=turn.id,
        lease=Lease(conversation_id=conversation_id, worker=rows.new_id(), epoch=turn.lease_epoch),
        owner_epoch=turn.owner_epoch,
        entries=[],
        next_step=7,
    )
    with pytest.raises(Fenced):
        await journal.spoken(Spoken(text="terlambat"))
    effect = journal.effect(ToolRequest(id="1", name="x", args={}), call=0)
    with pytest.raises(Fenced):
        async with uow(desk.tenant, effect):
            pass
    async with uow(desk.tenant) as work:
        assert (
            await work.conversations.begin_commit(
                journal.lease, owner_epoch=turn.owner_epoch, inbound_seq=None
            )
            is None
        )
    assert await desk.count("turn_steps", "step = 7") == 0


async def test_an_effect_is_refused_once_the_owner_has_changed(desk: Desk) -> None:
    outcomes: list[str] = []

    async def effect_after_takeover(effect: EffectKey) -> str:
        await desk.people.take_over(desk.tenant, effect.conversation_id, actor="rina")
        try:
            await _customers(desk).update_profile(
                desk.tenant,
                CustomerId((await desk.conversation())["customer_id"]),
                name="Ani",
                effect=effect,
            )
        except Fenced:
            outcomes.append("fenced")
            raise
        return "{}"

    await desk.hears("halo")
    desk.agent.next(calls_tool("update_customer_profile", effect_after_takeover))
    assert await desk.do(await desk.claim(TURN)) == "done"

    assert outcomes == ["fenced"]
    assert await desk.db.fetchval("SELECT name FROM customers") is None
    assert await desk.bubbles() == []
    assert await desk.count("queue_messages") == 0


async def test_takeover_while_the_model_thinks_sends_nothing_and_keeps_the_turn_open(
    desk: Desk,
) -> None:
    await desk.hears("halo")
    thinking = desk.agent.next_waits()
    turn = desk.thinking(await desk.claim(TURN))
    await thinking.entered()
    await desk.people.take_over(desk.tenant, await desk.conversation_id(), actor="rina")
    thinking.go_on()
    assert await turn == "done"

    assert await desk.bubbles() == []
    assert await desk.answered() == {"halo": None}
    assert await desk.count("turns", "state = 'open'") == 1
    assert await desk.count("queue_messages") == 0


async def test_return_to_ai_continues_the_same_turn_with_its_journal(desk: Desk) -> None:
    await desk.hears("halo")
    thinking = desk.agent.next_waits()
    turn = desk.thinking(await desk.claim(TURN))
    await thinking.entered()
    conversation_id = await desk.conversation_id()
    await desk.people.take_over(desk.tenant, conversation_id, actor="rina")
    thinking.go_on()
    await turn

    await desk.people.return_to_ai(desk.tenant, conversation_id, actor="rina")
    assert await desk.drain() == ["conversation.turn done"]
    assert await desk.bubbles() == ["Jawaban untuk: halo"]
    assert await desk.count("turns") == 1
    assert desk.agent.turns[1].owner_epoch == 3


async def test_all_messages_revoked_while_the_model_thinks_nothing_is_sent(desk: Desk) -> None:
    [webhook] = await desk.hears("salah kirim")
    thinking = desk.agent.next_waits()
    turn = desk.thinking(await desk.claim(TURN))
    await thinking.entered()
    await desk.deliver(desk.hooks.revoked(webhook.native_id))
    await desk.do(await desk.claim("inbox.waha"))
    thinking.go_on()
    assert await turn == "done"

    assert await desk.bubbles() == []
    assert await desk.answered() == {"salah kirim": "revoked"}
    assert await desk.count("turns", "state = 'open'") == 0
    assert await desk.count("queue_messages") == 0


async def test_a_reply_cancelled_before_any_claim_reopens_its_turn_without_the_draft(
    desk: Desk,
) -> None:
    await desk.hears("halo")
    desk.agent.next(calls_tool("update_customer_profile", partial(_note, desk)))
    await desk.drain()
    conversation_id = await desk.conversation_id()
    await desk.people.take_over(desk.tenant, conversation_id, actor="rina")
    assert await desk.claim_send(await desk.db.fetchval("SELECT id FROM sends")) == "cancelled"
    assert await desk.answered() == {"halo": None}
    assert await desk.db.fetchval("SELECT state FROM turns") == "open"

    await desk.people.return_to_ai(desk.tenant, conversation_id, actor="rina")
    desk.agent.next(calls_tool("update_customer_profile", partial(_note, desk)))
    assert set(await desk.drain()) == {"conversation.turn done"}
    assert await desk.bubbles() == ["Jawaban untuk: halo"]
    assert await desk.count("turns") == 1
    assert await desk.db.fetchval("SELECT note FROM customers") == "x"
    kinds = await desk.db.fetch("SELECT kind FROM turn_steps ORDER BY step")
    assert [row["kind"] for row in kinds] == [
        "read",
        "model",
        "tool",
        "model",
        "discard",
        "model",
    ]


async def test_a_reply_cancelled_after_the_next_turn_began_gives_it_its_journal(
    desk: Desk,
) -> None:
    await desk.hears("satu")
    desk.agent.next(calls_tool("update_customer_profile", partial(_note, desk)))
    await desk.drain()
    first = await desk.db.fetchval("SELECT id FROM sends")
    await desk.hears("dua")
    thinking = desk.agent.next_waits()
    turn = desk.thinking(await desk.claim(TURN))
    await thinking.entered()
    conversation_id = await desk.conversation_id()
    await desk.people.take_over(desk.tenant, conversation_id, actor="rina")
    assert await desk.claim_send(first) == "cancelled"
    thinking.go_on()
    assert await turn == "postponed"

    await desk.people.return_to_ai(desk.tenant, conversation_id, actor="rina")
    desk.agent.next(calls_tool("update_customer_profile", partial(_note, desk)))
    await desk.db.jump(60)
    await desk.drain()
    assert desk.agent.seen[-1] == ["dua", "satu"]
    assert await desk.bubbles() == ["Jawaban untuk: dua | satu"]
    assert await desk.count("turn_steps", "kind = 'tool'") == 1
    outcomes = await desk.db.fetch("SELECT outcome FROM turns ORDER BY outcome")
    assert [row["outcome"] for row in outcomes] == ["merged", "replied"]


async def test_a_message_between_a_tool_call_and_its_result_moves_no_effects_key(
    desk: Desk,
) -> None:
    """The worker dies after the model asked and before the tool ran; the customer goes on."""
    await desk.hears("satu")
    desk.agent.next(_ask_then_die)
    with pytest.raises(_PowerCut):
        await desk.do(await desk.claim(TURN))
    await desk.hears("dua")
    await desk.db.jump(_LEASE_OVER)
    desk.agent.next(calls_tool("update_customer_profile", partial(_note, desk)))
    await desk.drain()

    steps = await desk.db.fetch("SELECT step, kind FROM turn_steps ORDER BY step")
    assert [(row["step"], row["kind"]) for row in steps] == [
        (0, "read"),
        (1, "model"),
        (2, "tool"),
        (3, "read"),
        (4, "model"),
    ]
    assert await desk.bubbles() == ["Jawaban untuk: satu | dua"]


async def test_long_answers_are_several_bubbles_in_order_of_one_reply(desk: Desk) -> None:
    paragraphs = [("Kalimat yang cukup panjang. " * 20).strip() for _ in range(3)]
    desk.agent.next(says("\n\n".join(paragraphs)))
    await desk.hears("ceritakan")
    await desk.drain()

    found = await desk.db.fetch("SELECT seq, reply_id, body FROM sends ORDER BY seq")
    assert [row["seq"] for row in found] == [1, 2, 3]
    assert [row["body"] for row in found] == paragraphs
    assert len({row["reply_id"] for row in found}) == 1


async def test_the_prompt_gets_the_settled_past_and_what_was_shown(desk: Desk) -> None:
    await desk.hears("pertama")
    await desk.drain()
    await desk.hears("kedua")
    await desk.drain()

    turn = desk.agent.turns[1]
    assert [(said.by, said.text) for said in turn.history] == [
        ("customer", "pertama"),
        ("ai", "Jawaban untuk: pertama"),
    ]
    assert turn.shop.language == "id"
    assert turn.llm_config_name == "offline"
    assert timedelta(0) < turn.deadline <= timedelta(seconds=90)


async def test_losing_or_spoiling_the_cache_changes_nothing(desk: Desk) -> None:
    for text in ("satu", "dua"):
        await desk.hears(text)
        await desk.drain()
    key = f"conversation-context:1:{desk.tenant}:{await desk.conversation_id()}"
    assert await desk.cache.get(key) is not None
    await desk.cache.set(key, b"\xffrubbish", timedelta(minutes=5))
    await desk.hears("tiga")
    await desk.drain()
    await desk.cache.delete(key)
    await desk.hears("empat")
    await desk.drain()

    assert [said.text for said in desk.agent.turns[3].history] == [
        "satu",
        "Jawaban untuk: satu",
        "dua",
        "Jawaban untuk: dua",
        "tiga",
        "Jawaban untuk: tiga",
    ]


async def test_what_a_person_answered_meanwhile_is_no_longer_before_the_agent(desk: Desk) -> None:
    """An open turn had heard it; a person answered it; the next run must not answer it again."""
    await desk.hears("pertama")
    thinking = desk.agent.next_waits()
    turn = desk.thinking(await desk.claim(TURN))
    await thinking.entered()
    conversation_id = await desk.conversation_id()
    await desk.people.send_as_staff(desk.tenant, conversation_id, "saya bantu", actor="rina")
    thinking.go_on()
    await turn
    await desk.hears("kedua")
    await desk.people.return_to_ai(desk.tenant, conversation_id, actor="rina")
    await desk.drain()

    assert desk.agent.seen[-1] == ["kedua"]
    assert await desk.bubbles("ai") == ["Jawaban untuk: kedua"]
    assert [said.text for said in desk.agent.turns[-1].history] == ["pertama", "saya bantu"]


async def test_a_lost_lease_stops_the_model_at_once(test_database: TestDatabase) -> None:
    async with open_desk(test_database, conversation_lease_seconds=0.3) as desk:
        await desk.hears("halo")
        thinking = desk.agent.next_waits()
        turn = desk.thinking(await desk.claim(TURN))
        await thinking.entered()
        await desk.db.execute(
            "UPDATE conversations SET lease_epoch = lease_epoch + 1, lease_owner = $1",
            rows.new_id(),
        )
        assert await asyncio.wait_for(turn, 5) == "postponed"
        assert await desk.bubbles() == []


async def test_the_lease_is_renewed_while_the_model_thinks(test_database: TestDatabase) -> None:
    async with open_desk(test_database, conversation_lease_seconds=0.6) as desk:
        await desk.hears("halo")
        thinking = desk.agent.next_waits()
        turn = desk.thinking(await desk.claim(TURN))
        await thinking.entered()
        first = (await desk.conversation())["lease_until"]
        async with asyncio.timeout(5):
            while (await desk.conversation())["lease_until"] == first:
                await asyncio.sleep(0.05)
        thinking.go_on()
        assert await turn == "done"
        assert (await desk.conversation())["lease_epoch"] == 1


class _PowerCut(BaseException):
    """The process is gone: nothing that would run afterwards runs."""


async def _dies(turn: Turn, journal: Journal) -> AgentOutcome:
    raise _PowerCut


async def _draft_then_die(turn: Turn, journal: Journal) -> AgentOutcome:
    await says("Draf pertama")(turn, journal)
    raise _PowerCut


async def _ask_then_die(turn: Turn, journal: Journal) -> AgentOutcome:
    request = ToolRequest(id="call-1", name="update_customer_profile", args={})
    await journal.spoken(Spoken(text="", tool_calls=(request,), model="scripted"))
    raise _PowerCut


async def _note(desk: Desk, effect: EffectKey) -> str:
    """A tool that may happen once: it adds to what is there."""
    customer = CustomerId((await desk.conversation())["customer_id"])
    before = await desk.db.fetchval("SELECT note FROM customers") or ""
    return await _customers(desk).update_profile(
        desk.tenant, customer, note=f"{before}x", effect=effect
    )


def _customers(desk: Desk) -> CustomerService:
    return CustomerService(desk.container.turns.uow, utc_now)
