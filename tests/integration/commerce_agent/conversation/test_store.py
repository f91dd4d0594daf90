"""Storing what customers write: once, in order, in the right conversation."""

import asyncio
import time
from datetime import timedelta

from shared.messaging.port import Queue
from shared.waha.errors import WahaUnavailable
from tests.integration.commerce_agent.conversation.conftest import Desk, open_desk
from tests.support import rows
from tests.support.postgres import TestDatabase
from tests.support.waha_webhooks import CUSTOMER, Webhooks, file, new_native_id, signed

OTHER = "6281230000002@c.us"


async def test_a_message_is_stored_and_schedules_one_turn(desk: Desk) -> None:
    await desk.hears("halo")

    message = (await desk.db.fetch("SELECT * FROM messages"))[0]
    conversation = await desk.conversation()
    assert (message["body"], message["direction"], message["seq"]) == ("halo", "in", 1)
    assert message["answered_how"] is None
    assert (conversation["inbound_seq"], conversation["owner"]) == (1, "ai")
    assert conversation["first_unanswered_at"] is not None
    assert await desk.count("queue_messages", "kind = 'conversation.turn'") == 1
    assert await desk.count("queue_messages", "kind = 'inbox.waha'") == 0
    assert await desk.db.fetchval("SELECT state FROM inbox_events") == "stored"
    customer = (await desk.db.fetch("SELECT phone FROM customers"))[0]
    assert customer["phone"] == "+6281230000001"


async def test_the_first_message_says_what_the_customer_is_called(desk: Desk) -> None:
    for name in ("Siti Aminah", "Bukan Siti"):
        hooks = Webhooks(push_name=name)
        await desk.deliver(hooks.message("halo"))
        await desk.do(await desk.claim("inbox.waha"))
    assert await desk.db.fetchval("SELECT name FROM customers") == "Siti Aminah"


async def test_somebody_we_wrote_to_first_is_called_what_they_say_and_our_name_is_not_theirs(
    desk: Desk,
) -> None:
    await desk.deliver(desk.hooks.own("Pesanan siap kak"))
    await desk.do(await desk.claim("inbox.waha"))
    assert await desk.db.fetchval("SELECT name FROM customers") is None

    await desk.deliver(Webhooks(push_name="Siti").message("oke"))
    await desk.do(await desk.claim("inbox.waha"))
    assert await desk.db.fetchval("SELECT name FROM customers") == "Siti"

    await desk.db.execute("UPDATE customers SET name = 'Bu Siti', version = version + 1")
    await desk.hears("halo lagi")
    assert await desk.db.fetchval("SELECT name FROM customers") == "Bu Siti"


async def test_bubbles_wait_for_quiet_but_no_longer_than_the_longest(
    test_database: TestDatabase,
) -> None:
    async with open_desk(
        test_database, message_buffer_initial_delay=2, message_buffer_max_delay=10
    ) as desk:
        await desk.hears("satu")
        due = await _seconds_until_due(desk)
        assert 1 < due <= 2
        await desk.db.jump(9.5)
        await desk.deliver(desk.hooks.message("dua"))
        await desk.do(await desk.claim("inbox.waha"))
        assert await _seconds_until_due(desk) <= 0.6


async def _seconds_until_due(desk: Desk) -> float:
    seconds = await desk.db.fetchval(
        "SELECT extract(epoch FROM available_at - platform_now())::float8 FROM queue_messages"
        " WHERE kind = 'conversation.turn'"
    )
    assert isinstance(seconds, float)
    return seconds


async def test_one_message_delivered_five_times_under_other_webhook_ids_is_stored_once(
    desk: Desk,
) -> None:
    native_id = new_native_id()
    at = time.time()
    deliveries = [
        desk.hooks.message("halo", native_id=native_id, at=at, event=event)
        for event in ("message", "message.any", "message.any", "message", "message.any")
    ]
    await desk.deliver(*deliveries)
    claims = await desk.work.queue.claim(Queue.CRM_TASKS, 10, wait=timedelta(0))
    await asyncio.gather(*(desk.do(claim) for claim in claims))

    assert await desk.count("messages") == 1
    assert await desk.count("message_anomalies") == 0
    assert (await desk.conversation())["inbound_seq"] == 1
    states = await desk.db.fetch("SELECT state, reason FROM inbox_events ORDER BY state")
    assert sorted((row["state"], row["reason"]) for row in states) == sorted(
        [("ignored", "duplicate")] * 4 + [("stored", None)]
    )


async def test_the_same_id_from_another_sender_is_an_anomaly_and_changes_nothing(
    desk: Desk,
) -> None:
    native_id = new_native_id()
    await desk.deliver(desk.hooks.message("halo", native_id=native_id))
    await desk.do(await desk.claim("inbox.waha"))
    await desk.deliver(desk.hooks.message("bayar ke sini", native_id=native_id, chat=OTHER))
    await desk.do(await desk.claim("inbox.waha"))

    assert await desk.count("messages") == 1
    assert await desk.db.fetchval("SELECT reason FROM message_anomalies") == "other_sender"
    assert await desk.count("conversations") == 1
    assert (await desk.conversation())["inbound_seq"] == 1


async def test_the_same_id_with_other_content_is_an_anomaly_and_changes_nothing(
    desk: Desk,
) -> None:
    native_id = new_native_id()
    await desk.deliver(
        desk.hooks.message("halo", native_id=native_id),
        desk.hooks.message("bukan halo", native_id=native_id),
    )
    await desk.drain()

    assert list(await desk.answered()) == ["halo"]
    assert await desk.db.fetchval("SELECT reason FROM message_anomalies") == "other_content"
    assert await desk.bubbles() == ["Jawaban untuk: halo"]


async def test_an_edited_message_that_comes_again_is_a_duplicate(desk: Desk) -> None:
    native_id = new_native_id()
    first = desk.hooks.message("kopi", native_id=native_id)
    again = desk.hooks.message("kopi", native_id=native_id, event="message")
    await desk.deliver(first, desk.hooks.edited(native_id, "teh"), again)
    await desk.drain()

    assert await desk.count("message_anomalies") == 0
    assert list(await desk.answered()) == ["teh"]


async def test_order_is_whatsapps_time_then_arrival(desk: Desk) -> None:
    now = int(time.time())
    await desk.deliver(
        desk.hooks.message("ketiga", at=now - 5),
        desk.hooks.message("kedua", at=now - 6),
        desk.hooks.message("pertama", at=now - 60),
        desk.hooks.message("keempat", at=now - 5),
    )
    await desk.drain()

    assert desk.agent.seen[-1] == ["pertama", "kedua", "ketiga", "keempat"]


async def test_groups_status_newsletters_and_broadcasts_are_ignored_with_their_reason(
    desk: Desk,
) -> None:
    chats = ("12036302@g.us", "status@broadcast", "12036304@newsletter", "12036303@broadcast")
    await desk.deliver(*(desk.hooks.message("promo", chat=chat) for chat in chats))
    await desk.drain()

    found = await desk.db.fetch("SELECT state, reason FROM inbox_events ORDER BY sequence")
    assert [(row["state"], row["reason"]) for row in found] == [
        ("ignored", "group"),
        ("ignored", "status"),
        ("ignored", "newsletter"),
        ("ignored", "broadcast"),
    ]
    assert await desk.count("conversations") == 0
    assert await desk.count("customers") == 0


async def test_what_cannot_be_read_is_parked_and_does_not_stop_the_rest(desk: Desk) -> None:
    await desk.deliver(signed(b"\x00\xff"), signed(b'{"event": 1}'), desk.hooks.message("halo"))
    await desk.drain()

    found = await desk.db.fetch("SELECT state, reason FROM inbox_events ORDER BY sequence")
    assert [(row["state"], row["reason"]) for row in found] == [
        ("parked", "unreadable"),
        ("parked", "unreadable"),
        ("stored", None),
    ]
    assert await desk.bubbles() == ["Jawaban untuk: halo"]


async def test_an_encryption_stub_is_stored_and_never_answered(desk: Desk) -> None:
    await desk.deliver(desk.hooks.stub())
    await desk.drain()

    assert await desk.db.fetchval("SELECT answered_how FROM messages") == "nothing_to_answer"
    assert desk.agent.turns == []
    assert await desk.count("queue_messages") == 0


async def test_a_message_older_than_two_hours_is_recovered_and_never_answered(desk: Desk) -> None:
    await desk.deliver(desk.hooks.message("kemarin", at=time.time() - 7300))
    await desk.drain()

    message = (await desk.db.fetch("SELECT recovered, answered_how, seq FROM messages"))[0]
    assert (message["recovered"], message["answered_how"], message["seq"]) == (
        True,
        "recovered",
        None,
    )
    assert desk.agent.turns == []
    assert await desk.bubbles() == []


async def test_a_picture_a_pin_and_a_contact_card_are_read_as_descriptions(desk: Desk) -> None:
    await desk.deliver(
        desk.hooks.message("bukti transfer", media=file(filename="a].jpg")),
        desk.hooks.location(),
        desk.hooks.contact("Ani", "+62 811"),
    )
    await desk.drain()

    assert sorted(desk.agent.seen[-1]) == [
        "[contact card: Ani +62 811]",
        "[location: Monas Jakarta (-6.2, 106.8)]",
        "[picture: a).jpg] bukti transfer",
    ]


async def test_a_hidden_sender_with_known_alternate_is_one_customer_and_one_message(
    desk: Desk,
) -> None:
    native_id = new_native_id()
    lid = "99887766554433@lid"
    twin = desk.hooks.message("halo", chat=lid, native_id=native_id, alternate=CUSTOMER)
    await desk.deliver(twin, desk.hooks.message("halo", native_id=native_id))
    await desk.drain()

    assert await desk.count("messages") == 1
    assert await desk.count("customers") == 1
    assert await desk.count("message_anomalies") == 0
    aliases = await desk.db.fetch("SELECT address FROM customer_aliases ORDER BY address")
    assert [row["address"] for row in aliases] == [CUSTOMER, lid]
    assert (await desk.conversation())["address"] == CUSTOMER
    assert await desk.bubbles() == ["Jawaban untuk: halo"]
    assert desk.server.asked == []


async def test_an_unknown_hidden_sender_is_looked_up_once_outside_the_transaction(
    desk: Desk,
) -> None:
    lid = "99887766554433@lid"
    desk.server.lids[lid] = CUSTOMER
    await desk.hears("halo")
    await desk.hears("ini saya juga", chat=lid)
    await desk.hears("lagi", chat=lid)

    assert desk.server.asked == [lid]
    assert await desk.count("customers") == 1
    assert await desk.count("conversations") == 1
    assert (await desk.conversation())["inbound_seq"] == 3


async def test_a_failing_look_up_loses_no_message_and_is_tried_again_later(desk: Desk) -> None:
    lid = "99887766554433@lid"
    desk.server.error = WahaUnavailable()
    await desk.deliver(desk.hooks.message("halo", chat=lid))
    await desk.drain()
    assert await desk.bubbles() == ["Jawaban untuk: halo"]
    assert await desk.count("queue_messages", "kind = 'channel.repair'") == 1

    desk.server.error = None
    desk.server.lids[lid] = CUSTOMER
    await desk.db.jump(120)
    await desk.drain()

    assert (await desk.conversation())["address"] == CUSTOMER
    assert await desk.count("customer_aliases") == 2


async def test_a_customer_whom_staff_added_by_number_is_known_when_they_write(desk: Desk) -> None:
    customer = rows.new_id()
    await rows.insert(
        desk.db,
        "customers",
        {"tenant_id": desk.tenant, "id": customer, "phone": "+6281230000001", "name": "Ani"},
    )
    await desk.hears("halo")

    assert (await desk.conversation())["customer_id"] == customer
    assert await desk.count("customers") == 1


async def test_two_tenants_with_the_same_customer_never_mix(desk: Desk) -> None:
    other = await rows.a_tenant(desk.db)
    other_channel = await rows.a_channel(desk.db, other)
    native_id = new_native_id()
    await desk.deliver(desk.hooks.message("untuk toko satu", native_id=native_id))
    await desk.deliver(
        Webhooks().message("untuk toko dua", native_id=native_id),
        tenant=other,
        channel=other_channel,
    )
    await desk.drain()

    found = await desk.db.fetch(
        "SELECT s.tenant_id, s.channel_id, s.body FROM sends s ORDER BY body DESC"
    )
    assert [(row["tenant_id"], row["channel_id"], row["body"]) for row in found] == [
        (desk.tenant, desk.channel, "Jawaban untuk: untuk toko satu"),
        (other, other_channel, "Jawaban untuk: untuk toko dua"),
    ]
    assert await desk.count("customers") == 2
    assert await desk.count("message_anomalies") == 0


async def test_the_channel_is_the_one_of_the_session_among_those_with_the_same_secret(
    desk: Desk,
) -> None:
    twin = await rows.a_channel(desk.db, desk.tenant, session="second")
    await rows.a_channel(desk.db, desk.tenant, session="third", webhook_secret="another")
    await desk.deliver(Webhooks(session="second").message("halo"))
    await desk.deliver(Webhooks(session="third").message("halo"))
    await desk.drain()

    assert await desk.db.fetchval("SELECT channel_id FROM messages") == twin
    found = await desk.db.fetch("SELECT state, reason FROM inbox_events ORDER BY sequence")
    assert [(row["state"], row["reason"]) for row in found] == [
        ("stored", None),
        ("parked", "no_channel"),
    ]


async def test_session_status_moves_the_channel_and_asks_for_gap_repair(desk: Desk) -> None:
    await desk.deliver(desk.hooks.session_status("SCAN_QR_CODE"))
    await desk.do(await desk.claim("inbox.waha"))
    assert await desk.db.fetchval("SELECT state FROM channels") == "scan_qr_code"
    assert await desk.count("queue_messages") == 0

    await desk.deliver(desk.hooks.session_status("WORKING"))
    await desk.do(await desk.claim("inbox.waha"))
    channel = (await desk.db.fetch("SELECT state, phone FROM channels"))[0]
    assert (channel["state"], channel["phone"]) == ("working", "+628111000111")
    assert await desk.count("queue_messages", "kind = 'channel.repair'") == 1


async def test_two_first_messages_of_one_person_at_once_make_one_conversation(desk: Desk) -> None:
    await desk.deliver(*(desk.hooks.message(f"pesan {n}") for n in range(8)))
    claims = await desk.work.queue.claim(Queue.CRM_TASKS, 8, wait=timedelta(0))
    ends = await asyncio.gather(*(desk.do(claim) for claim in claims))

    assert set(ends) == {"done"}
    assert await desk.count("customers") == 1
    assert await desk.count("conversations") == 1
    seqs = await desk.db.fetch("SELECT seq FROM messages ORDER BY seq")
    assert [row["seq"] for row in seqs] == [1, 2, 3, 4, 5, 6, 7, 8]
