"""Every rule of the SPIN model (docs/models/turn.pml), broken by the fault that taught it.

The model says what goes wrong when a rule is taken away; each test here plays that run against the
product and fails when the code breaks that one rule. The table in docs/models/README.md names, for
each rule, its place in the code and its test.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from commerce_agent.application.ports.shop_agent import (
    AgentOutcome,
    EffectKey,
    Fenced,
    Journal,
    ToolRequest,
    Turn,
)
from messenger.domain import Windows
from shared.messaging.port import Queue
from shared.persistence.unit_of_work import Transaction
from tests.fault.model_desk import (
    CALL_OVER,
    LEASE_OVER,
    LossyBroker,
    ModelDesk,
    PowerCut,
    empty,
    open_model_desk,
    pooled,
    power_cut,
)
from tests.support.fake_waha import Fault, Status
from tests.support.locks import until_blocked
from tests.support.postgres import PostgresForTests, TestDatabase
from tests.support.scripted_agent import Barrier, calls_tool, echo, fails, is_away, says, waits
from tests.support.waha_webhooks import CUSTOMER, Webhook

TURN = "conversation.turn"
TOOL = "update_customer_profile"
CRM = Queue.CRM_TASKS
BUBBLES = Queue.WA_MESSAGES


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def one_database(postgres: PostgresForTests) -> AsyncIterator[TestDatabase]:
    made = await postgres.database()
    async with pooled(made) as kept:
        yield kept
    await postgres.drop(made)


@pytest_asyncio.fixture(loop_scope="session")
async def database(one_database: TestDatabase) -> TestDatabase:
    """The tests share a database; each finds it empty."""
    await empty(one_database)
    return one_database


@pytest_asyncio.fixture(loop_scope="session")
async def desk(database: TestDatabase) -> AsyncIterator[ModelDesk]:
    async with open_model_desk(database) as opened:
        yield opened


async def take_over(desk: ModelDesk) -> None:
    await desk.people.take_over(desk.tenant, await desk.conversation_id(), actor="rina")


async def return_to_ai(desk: ModelDesk) -> None:
    await desk.people.return_to_ai(desk.tenant, await desk.conversation_id(), actor="rina")


async def stored(desk: ModelDesk, webhook: Webhook) -> None:
    await desk.deliver(webhook)
    assert await desk.do(await desk.claim("inbox.waha")) == "done"


async def replied(desk: ModelDesk, *texts: str) -> list[Webhook]:
    """One reply to all of this is committed, and nothing of it is sent."""
    webhooks = await desk.hears(*texts)
    await desk.drain()
    return webhooks


# -- the turn and its queue entry ---------------------------------------------------------------


async def test_return_makes_the_waiting_message_due_again(desk: ModelDesk) -> None:
    """RETURN: the worker saw a person and finished the entry; the return is new work."""
    await desk.hears("halo")
    await take_over(desk)
    assert await desk.drain() == ["conversation.turn done"]
    assert await desk.queued(CRM) == []

    await return_to_ai(desk)

    assert [row["kind"] for row in await desk.queued(CRM)] == [TURN]
    await desk.drain()
    assert await desk.bubbles() == ["Jawaban untuk: halo"]


async def test_cancel_makes_the_messages_of_a_void_reply_due_again(desk: ModelDesk) -> None:
    """CANCEL: staff came and went before the bubble was claimed. When they gave the conversation
    back nothing seemed unanswered, so only the refusal itself can make the work."""
    await replied(desk, "halo")
    await take_over(desk)
    await return_to_ai(desk)
    assert await desk.queued(CRM) == []

    await desk.send_all()

    assert await desk.answered() == {"halo": None}
    assert [row["kind"] for row in await desk.queued(CRM)] == [TURN]
    await desk.drain()
    await desk.send_all()
    assert desk.waha.texts() == ["Jawaban untuk: halo"]


async def test_journal_of_a_turn_that_lost_its_owner_goes_on_with_its_effect(
    desk: ModelDesk,
) -> None:
    """JOURNAL: a takeover stops the turn between its effect and its reply."""
    await desk.hears("alamat saya ganti")
    barrier = Barrier()
    desk.agent.next(calls_tool(TOOL, desk.note, then=waits(barrier)))
    turn = desk.thinking(await desk.claim(TURN))
    await barrier.entered()
    await take_over(desk)
    barrier.go_on()
    assert await turn == "done"
    assert await desk.count("turns", "state = 'open'") == 1

    await return_to_ai(desk)
    desk.agent.next(calls_tool(TOOL, desk.note))
    await desk.drain()

    assert await desk.effects() == 1
    assert await desk.count("turns") == 1
    assert await desk.bubbles() == ["Jawaban untuk: alamat saya ganti"]


async def test_journal_of_a_void_reply_is_reopened_with_its_effect(desk: ModelDesk) -> None:
    """JOURNAL: the reply had committed; it is cancelled before any claim."""
    desk.agent.next(calls_tool(TOOL, desk.note))
    await replied(desk, "alamat saya ganti")
    await take_over(desk)
    await desk.send_all()
    assert await desk.count("turns", "state = 'open'") == 1

    await return_to_ai(desk)
    desk.agent.next(calls_tool(TOOL, desk.note))
    await desk.drain()

    assert await desk.effects() == 1
    assert await desk.count("turns") == 1
    assert await desk.bubbles() == ["Jawaban untuk: alamat saya ganti"]


async def test_rowid_an_old_claim_never_finishes_a_new_entry_of_the_same_key(
    desk: ModelDesk,
) -> None:
    """ROWID: key and generation are the same again; the row is not."""
    await desk.hears("satu")
    stale = await desk.claim(TURN)
    await desk.db.jump(LEASE_OVER)
    await desk.drain()
    await desk.hears("dua")
    (entry,) = [row for row in await desk.queued(CRM) if row["kind"] == TURN]
    assert (entry["key"], entry["generation"]) == (stale.key, stale.generation)

    assert await desk.do(stale) == "lost"

    assert [row["id"] for row in await desk.queued(CRM)] == [entry["id"]]
    assert (await desk.answered())["dua"] is None
    await desk.drain()
    assert await desk.bubbles() == ["Jawaban untuk: satu", "Jawaban untuk: dua"]


async def test_disc_the_third_draft_answers_what_it_has_read(desk: ModelDesk) -> None:
    """DISC: a customer who never stops writing gets an answer all the same."""
    await desk.hears("satu")
    barriers = [desk.agent.next_waits() for _ in range(3)]
    turn = desk.thinking(await desk.claim(TURN))
    for number, barrier in enumerate(barriers):
        await barrier.entered()
        await desk.hears(f"lagi {number}")
        barrier.go_on()
    await turn

    assert len(desk.agent.turns) == 3
    assert await desk.db.fetchval("SELECT max(discards) FROM turns") == 2
    assert await desk.bubbles() == ["Jawaban untuk: satu | lagi 0 | lagi 1"]
    assert (await desk.answered())["lagi 2"] is None
    await desk.drain()
    assert (await desk.bubbles())[1:] == ["Jawaban untuk: lagi 2"]


async def test_effowner_a_tool_does_nothing_more_after_a_takeover(desk: ModelDesk) -> None:
    """EFFOWNER: the lease is still ours, the conversation is not."""
    seen: list[type[BaseException]] = []

    async def late(turn: Turn, journal: Journal) -> AgentOutcome:
        await take_over(desk)
        try:
            return await calls_tool(TOOL, desk.note)(turn, journal)
        except Fenced as error:
            seen.append(type(error))
            raise

    await desk.hears("alamat saya ganti")
    desk.agent.next(late)
    assert await desk.do(await desk.claim(TURN)) == "done"

    assert await desk.effects() == 0
    assert seen == [Fenced]
    assert await desk.bubbles() == []


async def test_effowner_nor_after_the_conversation_came_back(desk: ModelDesk) -> None:
    """EFFOWNER: the AI owns it again, under another epoch; what it decided before is void."""

    async def late(turn: Turn, journal: Journal) -> AgentOutcome:
        await take_over(desk)
        await return_to_ai(desk)
        with pytest.raises(Fenced):
            await calls_tool(TOOL, desk.note)(turn, journal)
        assert await desk.effects() == 0
        raise PowerCut

    await desk.hears("alamat saya ganti")
    desk.agent.next(late)
    with pytest.raises(PowerCut):
        await desk.do(await desk.claim(TURN))

    assert await desk.effects() == 0


# -- hints --------------------------------------------------------------------------------------


async def test_repost_a_lost_hint_is_given_again(desk: ModelDesk) -> None:
    """REPOST: the row is marked published, and the broker has lost everything."""
    broker, relay = LossyBroker(), desk.relay(CRM)
    await desk.hears("halo")
    await relay.relay(broker)
    assert broker.lose() == 1
    await desk.db.jump(5)
    await relay.relay(broker)
    assert broker.lose() == 0

    await relay.sweep(broker)

    claims = await desk.follow(CRM, broker.take(CRM))
    assert [claim.kind for claim in claims] == [TURN]
    assert await desk.do(claims[0]) == "done"
    assert await desk.bubbles() == ["Jawaban untuk: halo"]


async def test_pub_moving_the_due_time_clears_the_mark(database: TestDatabase) -> None:
    """PUB: the hint of the first due time came too early for the second and was used up."""
    chat = {"message_buffer_initial_delay": 2, "message_buffer_max_delay": 10}
    async with open_model_desk(database, **chat) as desk:
        broker, relay = LossyBroker(), desk.relay(CRM)
        await desk.hears("satu")
        await desk.db.jump(3)
        await relay.relay(broker)
        slow = broker.take(CRM)
        assert len(slow) == 1

        await desk.deliver(desk.hooks.message("dua"))
        await relay.relay(broker)
        (store,) = await desk.follow(CRM, broker.take(CRM))
        assert await desk.do(store) == "done"

        (moved,) = await desk.queued(CRM)
        assert moved["published_at"] is None
        assert moved["due_in"] > 1
        assert await desk.follow(CRM, slow) == []
        await desk.db.jump(6)
        await relay.relay(broker)
        (claim,) = await desk.follow(CRM, broker.take(CRM))
        assert await desk.do(claim) == "done"
        assert await desk.bubbles() == ["Jawaban untuk: satu | dua"]


async def test_pub_a_hint_sent_ahead_and_lost_is_given_again_when_its_time_comes(
    desk: ModelDesk,
) -> None:
    """PUB: a mark from before the due time is none; no sweep is needed for that."""
    broker, relay = LossyBroker(), desk.relay(CRM)
    await desk.hears("halo")
    claim = await desk.claim(TURN)
    await desk.work.queue.release(claim, delay=timedelta(seconds=30))
    await relay.hint_ahead(broker)
    assert broker.lose() == 1, "one rung ahead"

    await desk.db.jump(31)
    await relay.relay(broker)

    assert [again.id for again in await desk.follow(CRM, broker.take(CRM))] == [claim.id]


# -- sending ------------------------------------------------------------------------------------


async def test_lock_a_claim_waits_for_the_takeover_that_is_being_committed(
    desk: ModelDesk,
) -> None:
    """LOCK: checked before the takeover committed, claimed after it, would be too late."""
    await replied(desk, "halo")
    send = await desk.bubble()
    async with desk.container.turns.uow(desk.tenant) as work:
        conversation = await work.conversations.get(await desk.conversation_id())
        conversation.take_over(actor="rina", at=await work.now())
        await work.flush()
        claiming = asyncio.create_task(desk.claim_send(send["id"]))
        await until_blocked(desk.db, claiming)
        await work.commit()

    assert await claiming == "cancelled"
    assert (await desk.bubble())["claim_no"] == 0


async def test_revoke_a_reply_goes_unless_everything_it_answers_was_revoked(
    desk: ModelDesk,
) -> None:
    """REVOKE: one reply covers two messages; first one of them is deleted, then the other."""
    first, second = await replied(desk, "ada kopi?", "yang panas")
    send = (await desk.bubble())["id"]
    claims = "SELECT outcome FROM claim_send($1)"

    await stored(desk, desk.hooks.revoked(first.native_id))
    async with desk.db.admin() as connection:
        trial = connection.transaction()
        await trial.start()
        assert await connection.fetchval(claims, send) == "claimed"
        await trial.rollback()

    await stored(desk, desk.hooks.revoked(second.native_id))
    assert await desk.claim_send(send) == "cancelled"
    assert (await desk.bubble())["error_code"] == "all_revoked"
    await desk.send_all()
    assert desk.waha.texts() == []


@pytest.mark.parametrize(
    "late_answer",
    [Status(500), Status(400), Status(429)],
    ids=["unclear", "refused", "put-back"],
)
async def test_claimno_the_outcome_of_an_older_claim_ends_nothing(
    desk: ModelDesk, late_answer: Fault
) -> None:
    """CLAIMNO: a messenger sleeps between its call and the outcome. Meanwhile another one has found
    nothing in the chat and repeats the notice, under a claim of its own."""
    conversation = await desk.people.open(desk.tenant, desk.channel, phone="+6281230000001")
    await desk.people.send_notice(desk.tenant, conversation.id, "Pesanan dikirim.", actor="key 1")
    desk.waha.fault("/api/sendText", late_answer)
    first, second = desk.line.hold_answer(), desk.line.hold_answer()
    asleep = desk.sending(await desk.claim_bubble())
    await first.entered()

    await desk.db.jump(LEASE_OVER)
    assert await desk.send(await desk.claim_bubble()) == "postponed"  # whose call is unclear
    await desk.db.jump(LEASE_OVER + CALL_OVER)
    assert await desk.send(await desk.claim_bubble()) == "postponed"  # to be repeated
    repeat = desk.sending(await desk.claim_bubble())
    await second.entered()

    first.go_on()
    await asleep

    running = await desk.bubble()
    assert (running["state"], running["claim_no"], running["resent"]) == ("sending", 2, True)
    second.go_on()
    assert await repeat == "done"
    assert (await desk.bubble())["state"] == "sent"
    assert desk.waha.texts() == ["Pesanan dikirim."]
    assert await desk.queued(BUBBLES) == []


async def test_late_no_call_is_made_on_an_old_claim(desk: ModelDesk) -> None:
    """LATE: the process slept between its claim and its call; what the claim checked may not hold
    any more."""
    await replied(desk, "halo")
    desk.clock = itertools.count(0.0, 6.0).__next__  # six seconds between any two looks

    assert await desk.send(await desk.claim_bubble()) == "postponed"

    assert desk.waha.texts() == []
    bubble = await desk.bubble()
    assert (bubble["state"], bubble["claim_no"]) == ("pending", 1)


async def test_late_unknown_is_not_ended_while_a_call_may_be_running(desk: ModelDesk) -> None:
    """LATE: the entry is due too early, and the chat does not show yet what is on its way."""
    await replied(desk, "halo")
    held = desk.line.hold_answer()
    desk.waha.fault("/api/sendText", Status(500))
    calling = desk.sending(await desk.claim_bubble())
    await held.entered()
    await desk.db.jump(LEASE_OVER)
    await desk.send(await desk.claim_bubble())
    await desk.db.execute("UPDATE queue_messages SET available_at = platform_now()")

    assert await desk.send(await desk.claim_bubble()) == "postponed"

    assert (await desk.bubble())["state"] == "unknown"
    (row,) = await desk.queued(BUBBLES)
    assert 15 < row["due_in"] <= 60 - LEASE_OVER
    held.go_on()
    await calling


@pytest.mark.parametrize("unknown", [1, 20, 60, 600])
@pytest.mark.parametrize("call", [1, 30, 120])
def test_late_unknown_outlasts_every_call_whatever_is_set(unknown: int, call: int) -> None:
    """LATE: a claim may be used until it is old, and the call may take its longest after that."""
    windows = Windows.of(unknown=timedelta(seconds=unknown), call=timedelta(seconds=call))

    assert windows.claim + windows.call < windows.unknown


async def test_sending_a_bubble_whose_messenger_died_becomes_unknown_and_keeps_its_entry(
    desk: ModelDesk,
) -> None:
    """SENDING: it died after its claim; nobody knows whether the call was made."""
    await replied(desk, "halo")
    desk.line.instead_of("/api/sendText", PowerCut())
    with pytest.raises(PowerCut):
        await desk.send(await desk.claim_bubble())
    assert (await desk.bubble())["state"] == "sending"
    await desk.db.jump(LEASE_OVER)

    assert await desk.send(await desk.claim_bubble()) == "postponed"

    assert (await desk.bubble())["state"] == "unknown"
    assert len(await desk.queued(BUBBLES)) == 1
    await desk.db.jump(LEASE_OVER + CALL_OVER)
    assert await desk.send(await desk.claim_bubble()) == "done"
    assert (await desk.bubble())["state"] == "failed"
    assert await desk.queued(BUBBLES) == []
    assert desk.waha.texts() == []


async def test_echo_ends_nothing_while_its_call_is_running(desk: ModelDesk) -> None:
    """ECHO: WhatsApp is quicker than WAHA's answer; ended now, the next bubble would be called
    while this call still runs."""
    await replied(desk, "halo")
    await desk.people.send_notice(
        desk.tenant, await desk.conversation_id(), "Pesanan dikirim.", actor="key 1"
    )
    held = desk.line.hold_answer()
    calling = desk.sending(await desk.claim_bubble())
    await held.entered()
    (sent,) = desk.waha.sent[CUSTOMER]
    echoed = desk.hooks.own(sent.text or "", native_id=sent.native_id, source="api")

    await stored(desk, echoed)

    first = await desk.db.fetchval("SELECT id FROM sends ORDER BY seq LIMIT 1")
    during = await desk.bubble(first)
    assert (during["state"], during["echoed_id"]) == ("sending", sent.native_id)
    assert not await desk.work.queue.claim(BUBBLES, 5, wait=timedelta(0))
    held.go_on()
    assert await calling == "done"
    assert (await desk.bubble(first))["state"] == "sent"


async def test_echo_ends_a_bubble_of_which_no_call_can_be_running(desk: ModelDesk) -> None:
    """ECHO: evidence past the call window decides, and nobody asks WAHA any more."""
    await replied(desk, "halo")
    desk.waha.fault("/api/sendText", Status(500, done=True))
    await desk.send(await desk.claim_bubble())
    (sent,) = desk.waha.sent[CUSTOMER]
    await desk.db.jump(CALL_OVER)

    await stored(desk, desk.hooks.own(sent.text or "", native_id=sent.native_id, source="api"))

    assert (await desk.bubble())["state"] == "sent"
    assert await desk.send(await desk.claim_bubble()) == "done"
    assert len(desk.waha.paths("messages")) == 0
    assert desk.waha.paths("sendText") == ["sendText"]


async def test_pick_of_one_conversation_only_the_oldest_bubble_is_claimable(
    desk: ModelDesk,
) -> None:
    """PICK: two messengers that hold two bubbles of one line would block each other for ever."""
    conversation = await desk.people.open(desk.tenant, desk.channel, phone="+6281230000001")
    for text in ("satu", "dua", "tiga"):
        await desk.people.send_notice(desk.tenant, conversation.id, text, actor="key 1")

    claims = await desk.work.queue.claim(BUBBLES, 5, wait=timedelta(0))
    assert len(claims) == 1
    await desk.work.queue.release(claims[0], delay=timedelta(seconds=60))
    assert not await desk.work.queue.claim(BUBBLES, 5, wait=timedelta(0))

    await desk.db.jump(61)
    await desk.send_all()
    assert desk.waha.texts() == ["satu", "dua", "tiga"]


async def test_pick_nothing_is_claimed_past_an_open_bubble_even_if_its_entry_is_held(
    desk: ModelDesk,
) -> None:
    """PICK, behind the queue: ``claim_send`` itself refuses what is not the head of the line."""
    await replied(desk, "halo")
    notice = await desk.people.send_notice(
        desk.tenant, await desk.conversation_id(), "Pesanan dikirim.", actor="key 1"
    )

    for state in ("pending", "sending", "unknown"):
        await desk.db.execute("UPDATE sends SET state = $1 WHERE kind = 'ai'", state)
        assert await desk.claim_send(notice[0]) == "blocked"

    await desk.db.execute("UPDATE sends SET state = 'failed' WHERE kind = 'ai'")
    assert await desk.claim_send(notice[0]) == "claimed"


# -- attempts and dead letters --------------------------------------------------------------------


async def test_att_an_orderly_end_forgives_failed_tries(desk: ModelDesk) -> None:
    """ATT: two tries failed, then no model could answer for a while; the next failure is the first
    again, not the third."""
    await desk.hears("halo")
    for jump, behaviour in (
        (0, fails(ZeroDivisionError())),
        (60, fails(ZeroDivisionError())),
        (120, is_away()),
        (600, fails(ZeroDivisionError())),
    ):
        await desk.db.jump(jump)
        desk.agent.next(behaviour)
        await desk.consume(CRM)

    assert await desk.count("dead_letters") == 0
    (row,) = await desk.queued(CRM)
    assert row["attempts"] == 1
    await desk.db.jump(1200)
    await desk.consume(CRM)
    assert (await desk.bubbles("ai"))[-1] == "Jawaban untuk: halo"


async def test_att_work_that_came_meanwhile_begins_with_no_attempts(desk: ModelDesk) -> None:
    """ATT: the entry stays because of a newer bubble; earlier failures were the older work's."""
    await desk.hears("satu")
    for jump in (0, 60):
        await desk.db.jump(jump)
        desk.agent.next(fails(ZeroDivisionError()))
        await desk.consume(CRM)
    await desk.db.jump(120)
    barriers = [desk.agent.next_waits() for _ in range(3)]
    turn = desk.thinking(claim := await desk.claim(TURN))
    assert claim.attempts == 2
    for number, barrier in enumerate(barriers):
        await barrier.entered()
        await desk.hears(f"lagi {number}")
        barrier.go_on()
    assert await turn == "done"

    (row,) = [row for row in await desk.queued(CRM) if row["kind"] == TURN]
    assert (row["id"], row["attempts"]) == (claim.id, 0)


async def test_dead_a_turn_that_is_given_up_hands_the_conversation_over(desk: ModelDesk) -> None:
    """DEAD: nobody would look at the message again, so a person has to."""
    await desk.hears("halo")
    for jump in (0, 60, 120):
        await desk.db.jump(jump)
        desk.agent.next(fails(ZeroDivisionError()))
        await desk.consume(CRM)

    assert await desk.count("dead_letters", "kind = 'conversation.turn'") == 1
    assert (await desk.conversation())["owner"] == "person"
    assert await desk.answered() == {"halo": "handed_over"}
    assert len(await desk.bubbles("notice")) == 1
    assert await desk.count("turns", "state = 'open'") == 0


async def test_dead_a_bubble_that_is_given_up_fails_and_frees_its_line(desk: ModelDesk) -> None:
    """DEAD: a bubble without an entry that stayed pending would hold back all behind it."""
    await replied(desk, "halo")
    await desk.people.send_notice(
        desk.tenant, await desk.conversation_id(), "Pesanan dikirim.", actor="key 1"
    )
    first = await desk.db.fetchval("SELECT id FROM sends ORDER BY seq LIMIT 1")
    desk.line.instead_of("/api/startTyping", *[ZeroDivisionError()] * 3)
    for jump in (0, 60, 120):
        await desk.db.jump(jump)
        await desk.consume(BUBBLES)

    assert await desk.count("dead_letters", "kind = 'send'") == 1
    assert (await desk.bubble(first))["state"] == "failed"
    await desk.consume(BUBBLES)
    assert desk.waha.texts() == ["Pesanan dikirim."]


# -- the faults that the model plants -----------------------------------------------------------


async def test_nogen_a_bubble_after_the_last_look_is_not_lost(desk: ModelDesk) -> None:
    """NOGEN: it came after the reply was read and before the entry was finished."""
    await desk.hears("satu")
    claim = await desk.claim(TURN)
    await desk.hears("dua")
    async with Transaction(desk.work.database, desk.tenant) as tx:
        await tx.finish(claim)  # as a worker does that knows of the first only
        await tx.commit()

    assert [row["generation"] for row in await desk.queued(CRM)] == [2]
    await desk.drain()
    assert await desk.bubbles() == ["Jawaban untuk: satu | dua"]


async def test_earlydelete_work_lives_until_the_transaction_that_did_it(desk: ModelDesk) -> None:
    """EARLYDELETE: the worker dies between its claim and its commit."""
    await desk.hears("halo")
    desk.agent.next(power_cut)
    with pytest.raises(PowerCut):
        await desk.do(await desk.claim(TURN))

    assert [row["kind"] for row in await desk.queued(CRM)] == [TURN]
    await desk.db.jump(LEASE_OVER)
    await desk.drain()
    assert await desk.bubbles() == ["Jawaban untuk: halo"]


async def test_leaseforever_a_dead_workers_conversation_is_taken_by_the_next(
    desk: ModelDesk,
) -> None:
    """LEASEFOREVER: nobody gives back the lease of a process that was killed."""
    await desk.hears("halo")
    claim = await desk.claim(TURN)
    async with desk.container.turns.uow(desk.tenant) as work:
        await work.conversations.take_lease(
            await desk.conversation_id(), worker=claim.id, for_=timedelta(seconds=30)
        )
        await work.commit()
    assert await desk.do(claim) == "postponed"

    await desk.db.jump(LEASE_OVER)
    assert await desk.drain() == ["conversation.turn done"]
    assert await desk.bubbles() == ["Jawaban untuk: halo"]


async def test_nofence_a_worker_that_slept_past_its_lease_writes_nothing(
    desk: ModelDesk,
) -> None:
    """NOFENCE: another one has answered meanwhile; two replies to one message would be there."""
    await desk.hears("halo")
    asleep = desk.agent.next_waits(then=says("terlambat"))
    stale = desk.thinking(await desk.claim(TURN))
    await asleep.entered()
    await desk.db.jump(LEASE_OVER)
    await desk.do(await desk.claim(TURN))
    steps = await desk.count("turn_steps")

    asleep.go_on()
    ended = await stale

    assert await desk.count("turn_steps") == steps
    assert await desk.bubbles() == ["Jawaban untuk: halo"]
    assert ended == "postponed"


async def test_nofence_nor_does_its_tool_do_anything(desk: ModelDesk) -> None:
    """NOFENCE: the next worker holds the turn and is still thinking."""
    await desk.hears("alamat saya ganti")
    first = desk.agent.next_waits(then=calls_tool(TOOL, desk.note))
    second = desk.agent.next_waits(then=echo)
    stale = desk.thinking(await desk.claim(TURN))
    await first.entered()
    await desk.db.jump(LEASE_OVER)
    holder = desk.thinking(await desk.claim(TURN))
    await second.entered()
    turn, journal = desk.agent.turns[0], desk.journal_of(desk.agent.turns[0])

    outcomes = await asyncio.gather(
        desk.note(journal.effect(ToolRequest(id="1", name=TOOL, args={}), call=0)),
        return_exceptions=True,
    )

    assert await desk.effects() == 0
    assert [type(outcome) for outcome in outcomes] == [Fenced]
    for barrier in (first, second):
        barrier.go_on()
    assert (await stale, await holder) == ("postponed", "done")
    assert turn.lease_epoch == 1


async def test_nofence_the_commit_itself_asks_for_the_lease(desk: ModelDesk) -> None:
    """NOFENCE: nothing before it may have noticed."""
    await desk.hears("halo")
    conversation_id = await desk.conversation_id()
    leases = []
    for jump in (0, LEASE_OVER):
        await desk.db.jump(jump)
        async with desk.container.turns.uow(desk.tenant) as work:
            leases.append(
                await work.conversations.take_lease(
                    conversation_id, worker=desk.tenant, for_=timedelta(seconds=30)
                )
            )
            await work.commit()

    async with desk.container.turns.uow(desk.tenant) as work:
        commit = work.conversations.begin_commit
        stale = await commit(leases[0], owner_epoch=1, inbound_seq=None)
        assert stale is None
        assert await commit(leases[1], owner_epoch=1, inbound_seq=None) is not None


async def test_nokey_an_effect_whose_worker_died_is_not_repeated(desk: ModelDesk) -> None:
    """NOKEY: effect and journal are one transaction, so the next worker knows."""
    await desk.hears("alamat saya ganti")
    desk.agent.next(calls_tool(TOOL, desk.note, then=power_cut))
    with pytest.raises(PowerCut):
        await desk.do(await desk.claim(TURN))
    await desk.db.jump(LEASE_OVER)
    desk.agent.next(calls_tool(TOOL, desk.note, then=echo))
    await desk.drain()

    assert await desk.effects() == 1
    assert await desk.count("turn_steps", "kind = 'tool'") == 1
    assert await desk.bubbles() == ["Jawaban untuk: alamat saya ganti"]


async def test_nokey_an_effect_asked_for_again_says_what_it_said(desk: ModelDesk) -> None:
    """NOKEY: its commit was unclear, so the tool is called once more under the same key."""
    said: list[object] = []

    async def twice(effect: EffectKey) -> str:
        for _ in range(2):
            said.extend(await asyncio.gather(desk.note(effect), return_exceptions=True))
        return str(said[0])

    await desk.hears("alamat saya ganti")
    desk.agent.next(calls_tool(TOOL, twice))
    await desk.drain()

    assert said == ['{"updated":["note"]}'] * 2
    assert await desk.effects() == 1


async def test_blindresend_an_unclear_reply_is_called_once(desk: ModelDesk) -> None:
    """BLINDRESEND: WhatsApp has it, WAHA said 500, and the chat does not show it."""
    await replied(desk, "halo")
    desk.waha.fault("/api/sendText", Status(500, done=True))
    desk.waha.history_status = 400
    for jump in (0, CALL_OVER, 3 * CALL_OVER, 9 * CALL_OVER):
        await desk.db.jump(jump)
        await desk.send_all()

    assert desk.waha.paths("sendText") == ["sendText"]
    assert (await desk.bubble())["state"] == "failed"


async def test_owneratcommit_a_takeover_after_the_commit_is_seen_by_the_claim(
    desk: ModelDesk,
) -> None:
    """OWNERATCOMMIT: the reply was the AI's to make, and is not the AI's to send."""
    await replied(desk, "halo")
    send = (await desk.bubble())["id"]
    await take_over(desk)

    assert await desk.claim_send(send) == "cancelled"

    await return_to_ai(desk)
    assert (await desk.bubble())["state"] == "cancelled"


async def test_owneratcommit_nor_is_it_sendable_when_the_conversation_comes_back(
    desk: ModelDesk,
) -> None:
    """OWNERATCOMMIT: what a person saw and said meanwhile, the reply knows nothing of."""
    await replied(desk, "halo")
    send = (await desk.bubble())["id"]
    await take_over(desk)
    await return_to_ai(desk)

    assert await desk.claim_send(send) == "cancelled"
