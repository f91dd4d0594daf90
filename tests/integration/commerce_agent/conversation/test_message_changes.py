"""Edits, deletions, reactions and ticks, also when they come before their message."""

from tests.integration.commerce_agent.conversation.conftest import Desk
from tests.support.locks import until_blocked
from tests.support.waha_webhooks import Webhook, new_native_id


async def _stored(desk: Desk, *webhooks: Webhook) -> None:
    await desk.deliver(*webhooks)
    for _ in webhooks:
        assert await desk.do(await desk.claim("inbox.waha")) == "done"


async def test_a_revoked_message_is_marked_and_waits_no_longer(desk: Desk) -> None:
    [webhook] = await desk.hears("rahasia")
    await _stored(desk, desk.hooks.revoked(webhook.native_id))

    message = (await desk.db.fetch("SELECT answered_how, revoked_at FROM messages"))[0]
    assert message["answered_how"] == "revoked"
    assert message["revoked_at"] is not None
    assert (await desk.conversation())["first_unanswered_at"] is None
    assert await desk.drain() == ["conversation.turn done"]
    assert desk.agent.turns == []


async def test_a_message_revoked_after_its_answer_keeps_how_it_was_answered(desk: Desk) -> None:
    [webhook] = await desk.hears("halo")
    await desk.drain()
    await _stored(desk, desk.hooks.revoked(webhook.native_id))

    assert await desk.answered() == {"halo": "ai"}
    send_id = await desk.db.fetchval("SELECT id FROM sends")
    claim = await desk.db.fetch("SELECT * FROM claim_send($1)", send_id)
    assert claim[0]["outcome"] == "cancelled"
    assert await desk.count("queue_messages", "kind = 'conversation.turn'") == 0


async def test_a_revocation_that_waited_for_a_claim_came_after_it(desk: Desk) -> None:
    """Moments are taken under the conversation's lock, so that they tell who was first."""
    [webhook] = await desk.hears("halo")
    await desk.drain()
    send_id = await desk.db.fetchval("SELECT id FROM sends")
    await desk.deliver(desk.hooks.revoked(webhook.native_id))
    async with desk.db.admin() as connection, connection.transaction():
        await connection.execute("SELECT FROM conversations FOR NO KEY UPDATE")
        revoking = desk.thinking(await desk.claim("inbox.waha"))
        await until_blocked(desk.db, revoking)
        await connection.execute("SELECT claim_send($1)", send_id)
    assert await revoking == "done"

    claimed_at = await desk.db.fetchval("SELECT claimed_at FROM sends")
    assert await desk.db.fetchval("SELECT revoked_at > $1 FROM messages", claimed_at) is True


async def test_revoked_text_never_enters_a_later_prompt(desk: Desk) -> None:
    first, _ = await desk.hears("nomor kartu 1234", "ada kopi?")
    thinking = desk.agent.next_waits()
    turn = desk.thinking(await desk.claim("conversation.turn"))
    await thinking.entered()
    await _stored(desk, desk.hooks.revoked(first.native_id))
    await desk.hears("yang panas")
    thinking.go_on()
    await turn
    await desk.hears("terima kasih")
    await desk.drain()

    assert desk.agent.seen[1] == ["ada kopi?", "yang panas"]
    prompts = [said.text for said in desk.agent.turns[-1].history]
    assert not any("1234" in text for text in prompts)


async def test_a_revocation_before_its_message_is_applied_when_it_comes(desk: Desk) -> None:
    native_id = new_native_id()
    await _stored(desk, desk.hooks.revoked(native_id))
    assert await desk.count("early_events") == 1
    await _stored(desk, desk.hooks.message("halo", native_id=native_id))

    assert await desk.answered() == {"halo": "revoked"}
    assert await desk.count("early_events") == 0
    assert await desk.count("queue_messages") == 0


async def test_an_edit_before_its_message_is_applied_when_it_comes(desk: Desk) -> None:
    native_id = new_native_id()
    await _stored(desk, desk.hooks.edited(native_id, "dua kopi"))
    await _stored(desk, desk.hooks.message("satu kopi", native_id=native_id))
    await desk.drain()

    assert desk.agent.seen == [["dua kopi"]]


async def test_an_edit_while_it_waits_is_what_the_agent_reads(desk: Desk) -> None:
    [webhook] = await desk.hears("satu kopi")
    await _stored(desk, desk.hooks.edited(webhook.native_id, "dua kopi"))
    await desk.drain()

    assert desk.agent.seen == [["dua kopi"]]


async def test_an_edit_while_the_model_thinks_discards_what_was_made_from_the_old_text(
    desk: Desk,
) -> None:
    [webhook] = await desk.hears("satu kopi")
    thinking = desk.agent.next_waits()
    turn = desk.thinking(await desk.claim("conversation.turn"))
    await thinking.entered()
    await _stored(desk, desk.hooks.edited(webhook.native_id, "dua kopi"))
    thinking.go_on()
    await turn

    assert desk.agent.seen == [["satu kopi"], ["dua kopi"]]
    assert await desk.bubbles() == ["Jawaban untuk: dua kopi"]


async def test_an_edit_before_the_reply_is_claimed_takes_the_reply_back(desk: Desk) -> None:
    [webhook] = await desk.hears("satu kopi")
    await desk.drain()
    await _stored(desk, desk.hooks.edited(webhook.native_id, "dua kopi"))
    assert await desk.drain() == ["conversation.turn done"]

    assert await desk.bubbles() == ["Jawaban untuk: dua kopi"]
    assert await desk.count("sends", "state = 'cancelled' AND error_code = 'edited'") == 1
    assert await desk.count("turns") == 1


async def test_an_edit_after_the_reply_was_claimed_only_changes_the_text(desk: Desk) -> None:
    [webhook] = await desk.hears("satu kopi")
    await desk.drain()
    send_id = await desk.db.fetchval("SELECT id FROM sends")
    await desk.db.fetch("SELECT * FROM claim_send($1)", send_id)
    await _stored(desk, desk.hooks.edited(webhook.native_id, "dua kopi"))

    assert await desk.answered() == {"dua kopi": "ai"}
    assert await desk.db.fetchval("SELECT state FROM sends") == "sending"
    assert await desk.drain() == []


async def test_a_reaction_is_kept_and_asks_for_no_answer(desk: Desk) -> None:
    await desk.hears("halo")
    await desk.drain()
    await desk.db.execute("UPDATE sends SET state = 'sent', native_id = '3EB0OURS'")
    await _stored(desk, desk.hooks.reaction("3EB0OURS", "❤️"))

    reaction = (await desk.db.fetch("SELECT * FROM messages WHERE kind = 'reaction'"))[0]
    assert (reaction["body"], reaction["reply_to"]) == ("❤️", "3EB0OURS")
    assert reaction["answered_how"] == "nothing_to_answer"
    assert await desk.count("queue_messages", "queue = 'crm_tasks'") == 0


async def test_a_reaction_before_its_message_is_stored_when_it_comes(desk: Desk) -> None:
    native_id = new_native_id()
    await _stored(desk, desk.hooks.reaction(native_id, "👍"))
    assert await desk.count("messages") == 0
    await _stored(desk, desk.hooks.message("halo", native_id=native_id))

    assert await desk.count("messages", "kind = 'reaction' AND body = '👍'") == 1


async def test_the_highest_tick_wins_whatever_the_order(desk: Desk) -> None:
    await desk.hears("halo")
    await desk.drain()
    await desk.db.execute("UPDATE sends SET state = 'sent', native_id = '3EB0OURS'")
    for level in (1, 3, 2):
        await _stored(desk, desk.hooks.ack("3EB0OURS", level, chat="99887766554433@lid"))

    assert await desk.db.fetchval("SELECT ack FROM sends") == 3


async def test_a_tick_before_the_id_is_known_is_applied_with_the_echo(desk: Desk) -> None:
    await desk.hears("halo")
    await desk.drain()
    await desk.db.execute("UPDATE sends SET state = 'sending', claim_no = 1, claimed_at = now()")
    await _stored(desk, desk.hooks.ack("3EB0OURS", 2), desk.hooks.ack("3EB0OURS", 1))
    assert await desk.db.fetchval("SELECT body FROM early_events") == '{"": {"level": 2}}'
    await _stored(desk, desk.hooks.own("Jawaban untuk: halo", native_id="3EB0OURS"))

    assert await desk.db.fetchval("SELECT ack FROM sends") == 2
    assert await desk.count("early_events") == 0


async def test_a_tick_of_a_message_typed_on_the_phone_is_kept_with_it(desk: Desk) -> None:
    await _stored(desk, desk.hooks.own("dari HP", native_id="3EB0PHONE"))
    await _stored(desk, desk.hooks.ack("3EB0PHONE", 3), desk.hooks.ack("3EB0PHONE", 2))

    assert await desk.db.fetchval("SELECT content->>'ack' FROM messages") == "3"
