"""Messages of the shop's own number: echoes of our sends, and typing on the phone."""

import time
from uuid import UUID

from tests.integration.commerce_agent.conversation.conftest import Desk
from tests.support.waha_webhooks import CUSTOMER, Webhook, new_native_id


async def _stored(desk: Desk, *webhooks: Webhook) -> None:
    await desk.deliver(*webhooks)
    for _ in webhooks:
        await desk.do(await desk.claim("inbox.waha"))


async def _replied(desk: Desk) -> UUID:
    """One reply that is committed and not sent yet."""
    await desk.hears("halo")
    await desk.drain()
    send_id = await desk.db.fetchval("SELECT id FROM sends")
    assert isinstance(send_id, UUID)
    return send_id


async def _is(desk: Desk, state: str, *, ago: float = 0, **columns: object) -> None:
    """Put the only send into a state, claimed ``ago`` seconds before now."""
    names = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 3))
    await desk.db.execute(
        "UPDATE sends SET state = $1, claim_no = 1,"
        f" claimed_at = platform_now() - make_interval(secs => $2){', ' if names else ''}{names}",
        state,
        ago,
        *columns.values(),
    )


async def test_typing_on_the_phone_pauses_the_ai_and_answers_what_came_before(
    desk: Desk,
) -> None:
    now = int(time.time())
    await _stored(desk, desk.hooks.message("halo", at=now - 20))
    await _stored(desk, desk.hooks.message("nanti", at=now - 5))
    await _stored(desk, desk.hooks.own("saya balas ya", at=now - 10))

    conversation = await desk.conversation()
    assert (conversation["owner"], conversation["owner_epoch"]) == ("paused", 2)
    assert await desk.answered() == {"halo": "person", "nanti": None}
    typed = (await desk.db.fetch("SELECT * FROM messages WHERE direction = 'out'"))[0]
    assert typed["body"] == "saya balas ya"
    assert await desk.drain() == ["conversation.turn done"]
    assert desk.agent.turns == []
    assert await desk.count("domain_events", "name = 'conversation.paused'") == 1


async def test_a_pending_reply_is_refused_after_somebody_typed_on_the_phone(desk: Desk) -> None:
    send_id = await _replied(desk)
    await _stored(desk, desk.hooks.own("saya saja"))

    claim = await desk.db.fetch("SELECT * FROM claim_send($1)", send_id)
    assert claim[0]["outcome"] == "cancelled"


async def test_typing_while_the_model_thinks_sends_nothing(desk: Desk) -> None:
    await desk.hears("halo")
    thinking = desk.agent.next_waits()
    turn = desk.thinking(await desk.claim("conversation.turn"))
    await thinking.entered()
    await _stored(desk, desk.hooks.own("dari HP", at=time.time() + 1))
    thinking.go_on()
    assert await turn == "done"

    assert await desk.bubbles() == []
    assert await desk.answered() == {"halo": "person"}
    assert await desk.count("turns", "outcome = 'answered_by_person'") == 1


async def test_a_person_who_has_it_keeps_it_when_somebody_types(desk: Desk) -> None:
    await desk.hears("halo")
    await desk.people.take_over(desk.tenant, await desk.conversation_id(), actor="rina")
    await _stored(desk, desk.hooks.own("dari HP"))

    conversation = await desk.conversation()
    assert (conversation["owner"], conversation["owner_epoch"]) == ("person", 2)


async def test_an_echo_with_a_reserved_id_does_not_pause_and_is_kept_as_evidence(
    desk: Desk,
) -> None:
    native_id = new_native_id()
    await _replied(desk)
    await _is(desk, "sending", reserved_id=native_id)
    await _stored(desk, desk.hooks.own("Jawaban untuk: halo", native_id=native_id))

    send = (await desk.db.fetch("SELECT state, echoed_id, native_id FROM sends"))[0]
    assert (send["state"], send["echoed_id"], send["native_id"]) == ("sending", native_id, None)
    assert (await desk.conversation())["owner"] == "ai"
    assert await desk.count("messages", "direction = 'out'") == 0
    found = await desk.db.fetchval("SELECT reason FROM inbox_events ORDER BY sequence DESC LIMIT 1")
    assert found == "echo"


async def test_an_echo_with_an_unknown_id_is_matched_by_its_text_while_a_call_runs(
    desk: Desk,
) -> None:
    await _replied(desk)
    await _is(desk, "sending")
    for event in ("message.any", "message"):
        await _stored(
            desk, desk.hooks.own("  Jawaban untuk:  halo ", native_id="3EB0ECHO", event=event)
        )

    assert (await desk.conversation())["owner"] == "ai"
    assert await desk.db.fetchval("SELECT echoed_id IS NOT NULL FROM sends") is True


async def test_an_echo_ends_a_send_that_is_unknown_past_the_call_window(desk: Desk) -> None:
    native_id = new_native_id()
    await _replied(desk)
    await _is(desk, "unknown", ago=61, reserved_id=native_id)
    await _stored(desk, desk.hooks.own("Jawaban untuk: halo", native_id=native_id, source="api"))

    send = (await desk.db.fetch("SELECT state, native_id, ended_at FROM sends"))[0]
    assert (send["state"], send["native_id"]) == ("sent", native_id)
    assert send["ended_at"] is not None


async def test_an_echo_ends_a_send_that_waits_for_its_repeat(desk: Desk) -> None:
    native_id = new_native_id()
    await _replied(desk)
    await _is(desk, "pending", ago=70, resent=True, reserved_id=native_id, kind="notice")
    await _stored(desk, desk.hooks.own("Jawaban untuk: halo", native_id=native_id, source="api"))

    assert await desk.db.fetchval("SELECT state FROM sends") == "sent"


async def test_an_echo_within_the_call_window_leaves_the_outcome_to_the_call(desk: Desk) -> None:
    native_id = new_native_id()
    await _replied(desk)
    await _is(desk, "unknown", ago=20, reserved_id=native_id)
    await _stored(desk, desk.hooks.own("Jawaban untuk: halo", native_id=native_id))

    assert await desk.db.fetchval("SELECT state FROM sends") == "unknown"
    assert await desk.db.fetchval("SELECT echoed_id FROM sends") == native_id


async def test_the_late_echo_of_a_send_that_was_unknown_is_never_taken_for_typing(
    desk: Desk,
) -> None:
    await _replied(desk)
    await _is(desk, "failed", ago=120)
    await desk.db.execute("UPDATE sends SET unknown_since = platform_now() - interval '9 min'")
    await _stored(desk, desk.hooks.own("Jawaban untuk: halo"))
    assert (await desk.conversation())["owner"] == "ai"

    await desk.db.execute(
        "UPDATE sends SET unknown_since = platform_now() - interval '11 min', echoed_id = NULL"
    )
    await _stored(desk, desk.hooks.own("Jawaban untuk: halo"))
    assert (await desk.conversation())["owner"] == "paused"


async def test_what_came_through_the_api_from_elsewhere_is_kept_and_pauses_nothing(
    desk: Desk,
) -> None:
    await desk.hears("halo")
    await _stored(desk, desk.hooks.own("promo", source="api"))

    assert (await desk.conversation())["owner"] == "ai"
    assert await desk.answered() == {"halo": None}
    assert await desk.count("messages", "direction = 'out'") == 1


async def test_typing_in_a_chat_that_nobody_knows_opens_it_paused(desk: Desk) -> None:
    await _stored(desk, desk.hooks.own("halo, pesanannya siap"))

    conversation = await desk.conversation(CUSTOMER)
    assert conversation["owner"] == "paused"


async def test_old_own_messages_pause_nothing(desk: Desk) -> None:
    await desk.hears("halo")
    await _stored(desk, desk.hooks.own("dulu", at=time.time() - 8000))

    assert (await desk.conversation())["owner"] == "ai"
    assert await desk.db.fetchval("SELECT recovered FROM messages WHERE direction = 'out'") is True


async def test_typing_twice_delivered_pauses_once(desk: Desk) -> None:
    await desk.hears("halo")
    typed = desk.hooks.own("dari HP", native_id="3EB0TYPED", event="message.any")
    await _stored(desk, typed)
    await desk.people.return_to_ai(desk.tenant, await desk.conversation_id(), actor="rina")
    await _stored(desk, desk.hooks.own("dari HP", native_id="3EB0TYPED", event="message"))

    assert (await desk.conversation())["owner"] == "ai"
    assert await desk.count("messages", "direction = 'out'") == 1
