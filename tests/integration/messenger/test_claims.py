"""What ``claim_send`` refuses, and what follows: nothing the AI wrote leaves after a takeover."""

import itertools
from uuid import UUID

import pytest

from messenger.bootstrap import make_routes
from shared.kernel.ids import new_id
from shared.messaging.port import Postpone
from tests.integration.messenger.conftest import Desk
from tests.support import rows
from tests.support.waha_webhooks import CUSTOMER


async def take_over(desk: Desk) -> None:
    await desk.db.execute(
        "UPDATE conversations SET owner = 'person', owner_epoch = owner_epoch + 1 WHERE id = $1",
        desk.conversation.id,
    )


async def unanswered(desk: Desk) -> list[UUID]:
    found = await desk.db.fetch("SELECT id FROM messages WHERE answered_how IS NULL ORDER BY seq")
    return [row["id"] for row in found]


async def test_after_a_takeover_no_ai_bubble_leaves_and_its_messages_wait_again(
    desk: Desk,
) -> None:
    messages = [await rows.an_inbound(desk.db, desk.conversation) for _ in range(2)]
    reply = new_id()
    turn = await rows.a_turn(
        desk.db, desk.conversation, state="ended", outcome="replied", reply_id=reply
    )
    sends = [
        await rows.a_send(
            desk.db, desk.conversation, reply_id=reply, answers=messages, turn_id=turn
        )
        for _ in range(2)
    ]
    await take_over(desk)

    await desk.work()

    assert desk.waha.calls == []  # not even typing
    assert await desk.states(*sends) == ["cancelled", "cancelled"]
    assert (await desk.send(sends[0]))["error_code"] == "owner_changed"
    assert await unanswered(desk) == messages
    (reopened,) = await desk.db.fetch("SELECT id, state, reply_id FROM turns")
    assert (reopened["id"], reopened["state"], reopened["reply_id"]) == (turn, "open", None)
    (work,) = await desk.queued("crm_tasks")
    assert (work["kind"], work["key"]) == ("conversation.turn", str(desk.conversation.id))
    assert await desk.queued() == []
    assert await desk.events() == ["send.cancelled", "send.cancelled"]


async def test_a_takeover_during_the_typing_is_seen_by_the_claim(desk: Desk) -> None:
    send = await rows.a_send(desk.db, desk.conversation)
    slept = desk.sleep

    async def staff_is_quicker(seconds: float) -> None:
        await slept(seconds)
        await take_over(desk)

    desk.sleep = staff_is_quicker  # type: ignore[method-assign]
    await desk.work()

    assert "startTyping" in desk.waha.paths()
    assert desk.waha.texts() == []
    assert await desk.states(send) == ["cancelled"]


async def test_what_was_already_said_keeps_its_messages_answered(desk: Desk) -> None:
    message = await rows.an_inbound(desk.db, desk.conversation)
    reply = new_id()
    first, second = [
        await rows.a_send(desk.db, desk.conversation, reply_id=reply, answers=[message])
        for _ in range(2)
    ]
    await desk.work()
    await take_over(desk)
    await desk.db.jump(10)

    await desk.work()

    assert await desk.states(first, second) == ["sent", "cancelled"]
    assert await unanswered(desk) == []
    assert await desk.queued("crm_tasks") == []


async def test_a_bubble_whose_own_try_failed_counts_as_never_said(desk: Desk) -> None:
    """WAHA took the claim but certainly not the message; then staff take over."""
    message = await rows.an_inbound(desk.db, desk.conversation)
    send = await rows.a_send(desk.db, desk.conversation, answers=[message], claim_no=1)
    await take_over(desk)

    await desk.work()

    assert await desk.states(send) == ["cancelled"]
    assert await unanswered(desk) == [message]


async def test_staff_text_and_notices_leave_whoever_owns(desk: Desk) -> None:
    await rows.a_send(desk.db, desk.conversation, kind="staff", body="dari kami")
    await rows.a_send(desk.db, desk.conversation, kind="notice", body="pembayaran diterima")
    await rows.a_send(desk.db, desk.conversation, kind="holding", body="sebentar ya")
    await take_over(desk)

    for jump in (0, 10, 20):
        await desk.db.jump(jump)
        await desk.work()

    assert desk.waha.texts(CUSTOMER) == ["dari kami", "pembayaran diterima"]


async def test_a_reply_is_refused_only_when_all_it_answers_is_revoked(desk: Desk) -> None:
    gone, stays = [await rows.an_inbound(desk.db, desk.conversation) for _ in range(2)]
    partly = await rows.a_send(desk.db, desk.conversation, answers=[gone, stays])
    wholly = await rows.a_send(
        desk.db, desk.conversation, answers=[await rows.an_inbound(desk.db, desk.conversation)]
    )
    await desk.db.execute("UPDATE messages SET revoked_at = platform_now() WHERE id <> $1", stays)

    for jump in (0, 10):
        await desk.db.jump(jump)
        await desk.work()

    assert await desk.states(partly, wholly) == ["sent", "cancelled"]
    assert (await desk.send(wholly))["error_code"] == "all_revoked"
    assert await desk.queued("crm_tasks") == []  # nothing waits, so nobody is asked to answer


async def test_after_an_hour_a_bubble_is_too_old(desk: Desk) -> None:
    send = await rows.a_send(desk.db, desk.conversation)
    await desk.db.jump(3601)

    await desk.work()

    assert desk.waha.calls == []
    row = await desk.send(send)
    assert (row["state"], row["error_code"]) == ("failed", "too_old")
    assert await desk.events() == ["send.failed"]
    assert await desk.queued() == []


async def test_the_claim_itself_refuses_what_is_too_old(desk: Desk) -> None:
    """Whatever the messenger knew of it before."""
    send = await rows.a_send(desk.db, desk.conversation)
    await desk.db.jump(3601)

    (claimed,) = await desk.db.fetch("SELECT * FROM claim_send($1)", send)

    assert claimed["outcome"] == "failed"
    row = await desk.send(send)
    assert (row["state"], row["error_code"], row["claim_no"]) == ("failed", "too_old", 0)


async def test_an_old_bubble_that_somebody_released_is_sent(desk: Desk) -> None:
    send = await rows.a_send(desk.db, desk.conversation, released_by="staff:ani")
    await desk.db.jump(3601)

    await desk.work()

    assert await desk.states(send) == ["sent"]


async def test_a_claim_that_grew_old_is_not_used(desk: Desk) -> None:
    """The process slept between claim and call: what the claim checked may not hold any more."""
    send = await rows.a_send(desk.db, desk.conversation)
    slow_process = itertools.count(0.0, 6.0).__next__  # six seconds between any two looks
    handle = make_routes(
        desk.settings,
        desk.database,
        desk.cache,
        desk.transport,
        monotonic=slow_process,
        sleep=desk.sleep,
    )["send"].handle
    claim = await desk.claim()
    with pytest.raises(Postpone):
        await handle(claim)
    assert desk.waha.texts() == []
    row = await desk.send(send)
    assert (row["state"], row["claim_no"]) == ("pending", 1)
    await desk.queue.release(claim)
    await desk.db.jump(10)  # its next place in the number's pace

    await desk.work()

    assert await desk.states(send) == ["sent"]
    assert (await desk.send(send))["claim_no"] == 2


async def test_work_for_a_bubble_that_is_gone_ends_quietly(desk: Desk) -> None:
    send = await rows.a_send(desk.db, desk.conversation)
    await desk.db.execute("DELETE FROM sends WHERE id = $1", send)

    await desk.work()

    assert await desk.queued() == []
    assert desk.waha.calls == []


async def test_a_given_up_bubble_fails_with_the_reason(desk: Desk) -> None:
    send = await rows.a_send(desk.db, desk.conversation)
    claim = await desk.claim()

    await desk.queue.dead_letter(
        claim, code="unexpected_error", detail="", give_up=desk.routes["send"].give_up
    )

    row = await desk.send(send)
    assert (row["state"], row["error_code"]) == ("failed", "unexpected_error")
    assert await desk.events() == ["send.failed"]


async def test_an_unclear_bubble_is_never_given_up(desk: Desk) -> None:
    """Its row died three times with its holders; whether it left is found out all the same."""
    send = await rows.a_send(desk.db, desk.conversation)
    await desk.db.execute(
        "UPDATE sends SET state = 'sending', claim_no = 1, claimed_at = platform_now()"
    )
    await desk.db.execute("UPDATE queue_messages SET attempts = 3")

    await desk.work()

    assert await desk.states(send) == ["sending"]
    (row,) = await desk.queued()
    assert row["attempts"] == 0
    await desk.db.jump(61)
    await desk.work()
    assert await desk.states(send) == ["unknown"]
    await desk.db.jump(200)
    await desk.work()
    assert await desk.states(send) == ["failed"]
    assert await desk.db.fetchval("SELECT count(*) FROM dead_letters") == 0
