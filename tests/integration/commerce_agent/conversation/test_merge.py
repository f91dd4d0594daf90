"""Two addresses turn out to be one person: one conversation, nothing lost, nothing twice."""

from commerce_agent.infrastructure.persistence.sweeps import SqlSweeper
from tests.integration.commerce_agent.conversation.conftest import Desk
from tests.support import rows
from tests.support.scripted_agent import says
from tests.support.waha_webhooks import CUSTOMER, Webhooks

LID = "99887766554433@lid"


async def _two_conversations(desk: Desk) -> None:
    await desk.hears("dari nomor")
    await desk.hears("dari lid", chat=LID)
    assert await desk.count("conversations") == 2


async def _now_known(desk: Desk) -> None:
    """A message that names both addresses."""
    await desk.deliver(desk.hooks.message("ini aku", chat=LID, alternate=CUSTOMER))
    assert await desk.do(await desk.claim("inbox.waha")) == "done"


async def test_two_conversations_become_one_and_are_answered_in_one_turn(desk: Desk) -> None:
    await _two_conversations(desk)
    await _now_known(desk)

    assert await desk.count("conversations") == 1
    assert await desk.count("customers") == 1
    conversation = await desk.conversation()
    assert (conversation["address"], conversation["inbound_seq"]) == (CUSTOMER, 3)
    seqs = await desk.db.fetch("SELECT seq FROM messages ORDER BY seq")
    assert [row["seq"] for row in seqs] == [1, 2, 3]
    await desk.drain()
    assert await desk.bubbles() == ["Jawaban untuk: dari nomor | dari lid | ini aku"]
    assert set((await desk.answered()).values()) == {"ai"}
    assert await desk.count("domain_events", "name = 'conversation.merged'") == 1


async def test_what_waits_in_the_conversation_that_goes_is_answered_in_the_one_that_stays(
    desk: Desk,
) -> None:
    """Found out without a message: nothing else would make a turn."""
    await desk.hears("dari nomor")
    await desk.drain()
    await desk.hears("dari lid", chat=LID)
    desk.server.lids[LID] = CUSTOMER
    await desk.enqueue("channel.repair", str(desk.channel))
    assert await desk.do(await desk.claim("channel.repair")) == "done"
    assert await desk.count("conversations") == 1

    assert await desk.drain() == ["conversation.turn done"]
    assert (await desk.bubbles())[1] == "Jawaban untuk: dari lid"


async def test_the_older_customer_stays_with_what_the_other_told_us(desk: Desk) -> None:
    await _two_conversations(desk)
    older = await desk.db.fetchval("SELECT id FROM customers ORDER BY id LIMIT 1")
    await desk.db.execute("UPDATE customers SET name = 'Ani' WHERE id = $1", older)
    await desk.db.execute("UPDATE customers SET note = 'suka manis' WHERE id <> $1", older)
    await _now_known(desk)

    customer = (await desk.db.fetch("SELECT * FROM customers"))[0]
    assert (customer["id"], customer["name"], customer["note"]) == (older, "Ani", "suka manis")


async def test_bubbles_on_their_way_keep_their_order_and_may_still_leave(desk: Desk) -> None:
    await _two_conversations(desk)
    await desk.drain()
    assert await desk.count("sends") == 2
    await _now_known(desk)

    conversation_id = await desk.conversation_id()
    sends = await desk.db.fetch("SELECT * FROM sends ORDER BY seq")
    assert [row["seq"] for row in sends] == [1, 2]
    assert {row["conversation_id"] for row in sends} == {conversation_id}
    work = await desk.db.fetch(
        "SELECT key, ordering_key, position FROM queue_messages WHERE kind = 'send'"
        " ORDER BY position"
    )
    assert [(row["key"], row["ordering_key"], row["position"]) for row in work] == [
        (str(sends[0]["id"]), str(conversation_id), 1),
        (str(sends[1]["id"]), str(conversation_id), 2),
    ]
    outcome = await desk.db.fetch("SELECT * FROM claim_send($1)", sends[0]["id"])
    assert outcome[0]["outcome"] == "claimed"
    blocked = await desk.db.fetch("SELECT * FROM claim_send($1)", sends[1]["id"])
    assert blocked[0]["outcome"] == "blocked"


async def test_both_journals_are_kept_when_both_were_thinking(desk: Desk) -> None:
    await _two_conversations(desk)
    first, second = desk.agent.next_waits(), desk.agent.next_waits()
    turns = []
    for barrier in (first, second):
        turns.append(desk.thinking(await desk.claim("conversation.turn")))
        await barrier.entered()
    await _now_known(desk)
    for barrier in (first, second):
        barrier.go_on()
    assert [await turn for turn in turns] == ["postponed", "postponed"]
    assert await desk.bubbles() == []

    await desk.db.jump(60)
    await SqlSweeper(desk.work.database).restore_lost_work()
    await desk.drain()
    assert await desk.bubbles() == ["Jawaban untuk: dari nomor | dari lid | ini aku"]
    assert await desk.count("turns", "outcome = 'merged'") == 1


async def test_a_person_who_has_one_of_them_has_both(desk: Desk) -> None:
    await _two_conversations(desk)
    await desk.people.take_over(desk.tenant, await desk.conversation_id(LID), actor="rina")
    await _now_known(desk)

    conversation = await desk.conversation()
    assert (conversation["owner"], conversation["owner_epoch"]) == ("person", 3)
    await desk.drain()
    assert await desk.bubbles() == []


async def test_on_two_channels_both_conversations_stay(desk: Desk) -> None:
    other = await rows.a_channel(desk.db, desk.tenant, session="second")
    await desk.hears("dari nomor")
    await desk.deliver(Webhooks(session="second").message("dari lid", chat=LID), channel=other)
    await desk.do(await desk.claim("inbox.waha"))
    await desk.deliver(
        Webhooks(session="second").message("ini aku", chat=LID, alternate=CUSTOMER), channel=other
    )
    await desk.do(await desk.claim("inbox.waha"))

    assert await desk.count("customers") == 1
    assert await desk.count("conversations") == 2
    desk.agent.default = says("Halo")
    await desk.drain()
    assert await desk.bubbles() == ["Halo", "Halo"]
