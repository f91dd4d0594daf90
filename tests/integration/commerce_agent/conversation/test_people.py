"""What people do in conversations, and what the AI must not do then."""

import asyncio

import pytest

from commerce_agent.application.services.conversation_service import NothingToSend
from commerce_agent.domain.entities.conversation import ConversationNotFound, NotOwnedByPerson
from commerce_agent.domain.entities.customer import WantsNoMessages
from commerce_agent.domain.value_objects.phone import BadPhone
from shared.kernel.ids import ConversationId, new_id
from tests.integration.commerce_agent.conversation.conftest import Desk
from tests.support import rows
from tests.support.waha_webhooks import CUSTOMER


async def test_taking_over_twice_is_once(desk: Desk) -> None:
    await desk.hears("halo")
    conversation_id = await desk.conversation_id()
    for actor in ("rina", "budi"):
        await desk.people.take_over(desk.tenant, conversation_id, actor=actor)

    conversation = await desk.conversation()
    assert (conversation["owner"], conversation["owner_epoch"]) == ("person", 2)
    assert conversation["owner_reason"] == "taken over by rina"
    assert await desk.count("domain_events", "name = 'conversation.taken_over'") == 1


async def test_a_message_during_a_takeover_waits_and_makes_no_work(desk: Desk) -> None:
    await desk.hears("halo")
    await desk.drain()
    await desk.people.take_over(desk.tenant, await desk.conversation_id(), actor="rina")
    await desk.hears("ada orang?")

    assert (await desk.answered())["ada orang?"] is None
    assert await desk.count("queue_messages", "queue = 'crm_tasks'") == 0


async def test_a_staff_answer_takes_over_and_answers_what_came_before(desk: Desk) -> None:
    await desk.hears("halo", "ada kopi?")
    conversation_id = await desk.conversation_id()
    sent = await desk.people.send_as_staff(
        desk.tenant, conversation_id, "**Ada**, Kak.", actor="rina", reply_to="3EB0QUOTED"
    )

    send = (await desk.db.fetch("SELECT * FROM sends"))[0]
    assert (send["id"], send["kind"], send["body"]) == (sent[0], "staff", "*Ada*, Kak.")
    assert (send["author"], send["reply_to"]) == ("rina", "3EB0QUOTED")
    assert await desk.answered() == {"halo": "person", "ada kopi?": "person"}
    conversation = await desk.conversation()
    assert (conversation["owner"], conversation["first_unanswered_at"]) == ("person", None)
    assert await desk.drain() == ["conversation.turn done"]
    assert desk.agent.turns == []
    assert await desk.count("domain_events", "name = 'conversation.staff_replied'") == 1


async def test_a_staff_answer_while_the_model_thinks_ends_the_turn(desk: Desk) -> None:
    await desk.hears("halo")
    thinking = desk.agent.next_waits()
    turn = desk.thinking(await desk.claim("conversation.turn"))
    await thinking.entered()
    await desk.people.send_as_staff(
        desk.tenant, await desk.conversation_id(), "Halo Kak", actor="rina"
    )
    thinking.go_on()
    assert await turn == "done"

    assert await desk.bubbles() == ["Halo Kak"]
    assert await desk.count("turns", "outcome = 'answered_by_person'") == 1


async def test_a_staff_answer_replaces_an_ai_reply_that_has_not_begun_to_leave(
    desk: Desk,
) -> None:
    await desk.hears("halo")
    await desk.drain()
    ai = await desk.db.fetchval("SELECT id FROM sends")
    conversation_id = await desk.conversation_id()
    await desk.people.send_as_staff(desk.tenant, conversation_id, "Saya bantu", actor="rina")
    assert await desk.claim_send(ai) == "cancelled"
    assert await desk.answered() == {"halo": "person"}

    await desk.people.return_to_ai(desk.tenant, conversation_id, actor="rina")
    assert await desk.drain() == []
    assert await desk.bubbles() == ["Saya bantu"]
    assert await desk.db.fetchval("SELECT outcome FROM turns") == "nothing_left"


async def test_a_staff_answer_leaves_alone_what_an_ai_reply_has_begun_to_answer(
    desk: Desk,
) -> None:
    await desk.hears("halo")
    await desk.drain()
    assert await desk.claim_send(await desk.db.fetchval("SELECT id FROM sends")) == "claimed"
    await desk.people.send_as_staff(
        desk.tenant, await desk.conversation_id(), "Saya bantu", actor="rina"
    )

    assert await desk.answered() == {"halo": "ai"}


async def test_return_to_ai_answers_at_once_what_waits_however_long_it_waited(
    desk: Desk,
) -> None:
    await desk.hears("halo")
    conversation_id = await desk.conversation_id()
    await desk.people.take_over(desk.tenant, conversation_id, actor="rina")
    await desk.hears("masih ada?")
    await desk.drain()
    await desk.db.jump(5 * 3600)
    await desk.people.return_to_ai(desk.tenant, conversation_id, actor="rina")
    await desk.drain()

    assert await desk.bubbles() == ["Jawaban untuk: halo | masih ada?"]
    conversation = await desk.conversation()
    assert (conversation["owner"], conversation["owner_epoch"]) == ("ai", 3)


async def test_return_to_ai_with_nothing_waiting_makes_no_work(desk: Desk) -> None:
    await desk.hears("halo")
    await desk.drain()
    conversation_id = await desk.conversation_id()
    await desk.people.take_over(desk.tenant, conversation_id, actor="rina")
    await desk.people.return_to_ai(desk.tenant, conversation_id, actor="rina")

    assert await desk.count("queue_messages", "queue = 'crm_tasks'") == 0


async def test_what_the_ai_has_cannot_be_returned_to_it(desk: Desk) -> None:
    await desk.hears("halo")
    with pytest.raises(NotOwnedByPerson):
        await desk.people.return_to_ai(desk.tenant, await desk.conversation_id(), actor="rina")
    assert (await desk.conversation())["owner_epoch"] == 1


async def test_a_hand_over_tells_the_customer_and_staff_in_one_transaction(desk: Desk) -> None:
    await desk.db.execute('UPDATE tenants SET profile = \'{"hours": "Senin-Jumat 08-17"}\'')
    await desk.hears("komplain!")
    await desk.people.hand_over(
        desk.tenant,
        await desk.conversation_id(),
        reason="complaint",
        summary="Coffee was cold.",
        team="care",
    )

    handover = await desk.db.fetchval("SELECT handover::text FROM conversations")
    assert handover == ('{"team": "care", "reason": "complaint", "summary": "Coffee was cold."}')
    assert (await desk.bubbles("notice"))[0].endswith("Jam layanan kami: Senin-Jumat 08-17.")
    assert await desk.answered() == {"komplain!": "handed_over"}
    send = await desk.db.fetchval("SELECT id FROM sends")
    claim = await desk.db.fetch("SELECT * FROM claim_send($1)", send)
    assert claim[0]["outcome"] == "claimed"


async def test_a_hand_over_to_somebody_who_has_it_says_nothing_twice(desk: Desk) -> None:
    await desk.hears("halo")
    conversation_id = await desk.conversation_id()
    for _ in range(2):
        await desk.people.hand_over(desk.tenant, conversation_id, reason="r", summary="s")

    assert len(await desk.bubbles()) == 1
    assert (await desk.conversation())["owner_epoch"] == 2


async def test_a_notice_leaves_owner_and_waiting_messages_as_they_are(desk: Desk) -> None:
    await desk.hears("halo")
    await desk.people.send_notice(
        desk.tenant, await desk.conversation_id(), "Pesanan dikirim.", actor="key 1"
    )

    conversation = await desk.conversation()
    assert (conversation["owner"], conversation["owner_epoch"]) == ("ai", 1)
    assert await desk.answered() == {"halo": None}
    assert await desk.bubbles("notice") == ["Pesanan dikirim."]


async def test_who_wants_no_messages_gets_no_notice_but_is_answered(desk: Desk) -> None:
    await desk.hears("stop promo")
    await desk.db.execute("UPDATE customers SET opted_out = true")
    conversation_id = await desk.conversation_id()
    with pytest.raises(WantsNoMessages):
        await desk.people.send_notice(desk.tenant, conversation_id, "Promo!", actor="key 1")
    with pytest.raises(WantsNoMessages):
        await desk.people.open(desk.tenant, desk.channel, phone="+6281230000001")
    assert await desk.bubbles() == []

    await desk.drain()
    assert await desk.bubbles() == ["Jawaban untuk: stop promo"]


async def test_opening_by_phone_finds_the_conversation_or_makes_it(desk: Desk) -> None:
    made = await desk.people.open(desk.tenant, desk.channel, phone="0812-3000-0001")
    again = await desk.people.open(desk.tenant, desk.channel, phone="+62 812 3000 0001")

    assert made.id == again.id
    assert made.address == "6281230000001@c.us"
    with pytest.raises(BadPhone):
        await desk.people.open(desk.tenant, desk.channel, phone="tidak ada")


async def test_empty_text_is_refused_and_changes_nothing(desk: Desk) -> None:
    await desk.hears("halo")
    with pytest.raises(NothingToSend):
        await desk.people.send_as_staff(
            desk.tenant, await desk.conversation_id(), " \n ", actor="rina"
        )
    assert (await desk.conversation())["owner"] == "ai"
    assert await desk.bubbles() == []


async def test_another_tenants_conversation_does_not_exist(desk: Desk) -> None:
    await desk.hears("halo")
    other = await rows.a_tenant(desk.db)
    conversation_id = await desk.conversation_id()
    for act in (
        desk.people.take_over(other, conversation_id, actor="x"),
        desk.people.return_to_ai(other, conversation_id, actor="x"),
        desk.people.send_as_staff(other, conversation_id, "halo", actor="x"),
        desk.people.hand_over(other, conversation_id, reason="r", summary="s"),
        desk.people.take_over(desk.tenant, ConversationId(new_id()), actor="x"),
    ):
        with pytest.raises(ConversationNotFound):
            await act
    assert (await desk.conversation())["owner"] == "ai"


async def test_takeover_and_commit_at_once_never_leave_a_sendable_ai_reply(desk: Desk) -> None:
    """Whichever comes first: after the takeover nothing of the AI can be claimed."""
    for number in range(6):
        chat = f"62812300001{number:02}@c.us"
        await desk.hears("halo", chat=chat)
        claim = await desk.claim("conversation.turn")
        conversation_id = await desk.conversation_id(chat)
        await asyncio.gather(
            desk.do(claim), desk.people.take_over(desk.tenant, conversation_id, actor="rina")
        )
        for send in await desk.db.fetch(
            "SELECT id FROM sends WHERE conversation_id = $1", conversation_id
        ):
            outcome = await desk.db.fetch("SELECT * FROM claim_send($1)", send["id"])
            assert outcome[0]["outcome"] == "cancelled"
        assert (await desk.conversation(chat))["owner"] == "person"


async def test_watchers_are_told_after_the_commit(desk: Desk) -> None:
    await desk.hears("halo")
    conversation_id = await desk.conversation_id()
    topic = f"conversation:{desk.tenant}:{conversation_id}"
    async with desk.cache.subscribe(topic) as messages:
        await desk.people.take_over(desk.tenant, conversation_id, actor="rina")
        assert await asyncio.wait_for(anext(messages), 5) == b'{"type":"changed"}'
        await desk.hears("lagi", chat=CUSTOMER)
        assert await asyncio.wait_for(anext(messages), 5) == b'{"type":"changed"}'
