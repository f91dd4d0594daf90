"""One bubble after the other: order, pace, manners, ids, answers of all engines."""

import itertools
from datetime import timedelta

import pytest

from shared.kernel.ids import new_id
from tests.integration.messenger.conftest import Desk
from tests.support import rows
from tests.support.fake_waha import Delay
from tests.support.waha_webhooks import CUSTOMER, ENGINES

OTHER = "6281230000002@c.us"


async def test_a_bubble_is_sent_the_way_a_person_would(desk: Desk) -> None:
    message = await rows.an_inbound(desk.db, desk.conversation, native_id="3EBASK")
    send = await rows.a_send(desk.db, desk.conversation, body="x" * 60, answers=[message])

    await desk.work()

    assert desk.waha.paths() == [
        "sendSeen", "startTyping", "stopTyping", "new-message-id", "sendText",
    ]  # fmt: skip
    assert desk.waha.calls[0].json == {
        "session": "default",
        "chatId": CUSTOMER,
        "messageIds": [f"false_{CUSTOMER}_3EBASK"],
    }
    assert desk.waha.texts(CUSTOMER) == ["x" * 60]
    (typed,) = desk.slept
    assert 60 * 0.03 * 0.8 <= typed <= 60 * 0.03 * 1.2
    row = await desk.send(send)
    assert (row["state"], row["claim_no"]) == ("sent", 1)
    assert row["native_id"] == row["reserved_id"] == desk.waha.sent[CUSTOMER][0].native_id
    assert row["ended_at"] is not None
    assert await desk.queued() == []
    assert await desk.events() == ["send.sent"]


async def test_typing_never_takes_longer_than_set(desk: Desk) -> None:
    await rows.a_send(desk.db, desk.conversation, body="x" * 4000)

    await desk.work()

    assert desk.slept == [5.0]


@pytest.mark.parametrize("engine", ENGINES)
async def test_every_engine_tells_the_id_of_what_was_sent(desk: Desk, engine: str) -> None:
    send = await rows.a_send(desk.db, desk.conversation)

    await desk.work()

    row = await desk.send(send)
    assert row["state"] == "sent"
    assert row["native_id"] == desk.waha.sent[CUSTOMER][0].native_id
    assert (row["reserved_id"] is None) == (engine == "WEBJS")


async def test_a_quote_a_picture_and_a_place_are_sent_as_such(desk: Desk) -> None:
    await rows.a_send(desk.db, desk.conversation, body="ini", reply_to="3EBASK")
    picture = {"type": "image", "url": "https://cdn.test/kopi.jpg", "mimetype": "image/jpeg"}
    await rows.a_send(desk.db, desk.conversation, body="Kopi", media=picture)
    place = {"type": "location", "latitude": -6.2, "longitude": 106.8, "title": "Toko"}
    await rows.a_send(desk.db, desk.conversation, body="", media=place)

    for jump in (0, 10, 20):
        await desk.db.jump(jump)
        await desk.work()

    quote, image, location = desk.waha.sent[CUSTOMER]
    assert quote.json["reply_to"] == f"false_{CUSTOMER}_3EBASK"
    assert image.kind == "sendImage"
    assert image.json["file"] == {"url": "https://cdn.test/kopi.jpg", "mimetype": "image/jpeg"}
    assert image.json["caption"] == "Kopi"
    assert location.kind == "sendLocation"
    assert (location.json["latitude"], location.json["longitude"]) == (-6.2, 106.8)
    assert location.json["title"] == "Toko"


async def test_an_attachment_nobody_knows_fails_and_frees_the_line(desk: Desk) -> None:
    odd = await rows.a_send(desk.db, desk.conversation, media={"type": "hologram"})
    after = await rows.a_send(desk.db, desk.conversation, body="lanjut")

    await desk.work()
    await desk.db.jump(10)
    await desk.work()

    assert await desk.states(odd, after) == ["failed", "sent"]
    assert (await desk.send(odd))["error_code"] == "media_not_supported"


async def test_three_bubbles_keep_their_order(desk: Desk) -> None:
    reply = new_id()
    message = await rows.an_inbound(desk.db, desk.conversation)
    sends = [
        await rows.a_send(desk.db, desk.conversation, body=body, reply_id=reply, answers=[message])
        for body in ("satu", "dua", "tiga")
    ]
    desk.waha.fault("/api/sendText", Delay(0.05))

    for jump in (0, 10, 20, 30):
        await desk.db.jump(jump)
        await desk.work()

    assert desk.waha.texts(CUSTOMER) == ["satu", "dua", "tiga"]
    assert await desk.states(*sends) == ["sent"] * 3


async def test_a_bubble_whose_turn_has_not_come_is_not_touched(desk: Desk) -> None:
    """Even where its row was claimed out of order, ``claim_send`` keeps the head of the line."""
    first = await rows.a_send(desk.db, desk.conversation, body="satu", queued=False)
    second = await rows.a_send(desk.db, desk.conversation, body="dua")

    await desk.work()

    assert await desk.states(first, second) == ["pending", "pending"]
    assert desk.waha.texts() == []
    (waiting,) = await desk.queued()
    assert timedelta(0) < waiting["due_in"] <= timedelta(seconds=1)
    assert waiting["attempts"] == 0


async def test_a_number_speaks_at_its_pace(desk: Desk) -> None:
    """Five customers at once: each has a place a second or more behind the one before."""
    conversations = [desk.conversation] + [
        await rows.a_conversation(
            desk.db,
            desk.conversation.tenant_id,
            desk.conversation.channel_id,
            address=f"62812300010{number:02}@c.us",
        )
        for number in range(4)
    ]
    for conversation in conversations:
        await rows.a_send(desk.db, conversation)

    claims = await desk.work()

    assert len(desk.waha.texts()) == 1
    places = sorted(row["due_in"].total_seconds() for row in await desk.queued())
    assert len(places) == 4
    gaps = [later - earlier for earlier, later in itertools.pairwise(places)]
    assert all(0.9 <= gap <= 1.6 for gap in gaps)
    assert claims == 5  # nobody asks twice before its place has come

    await desk.db.jump(10)
    await desk.work()

    assert len(desk.waha.texts()) == 5
    assert await desk.queued() == []


async def test_another_number_is_not_slowed(desk: Desk) -> None:
    tenant = desk.conversation.tenant_id
    channel = await rows.a_channel(desk.db, tenant, base_url=desk.waha.url, session="second")
    customer = desk.conversation.customer_id
    other = await rows.a_conversation(desk.db, tenant, channel, customer, address=OTHER)
    await desk.db.execute(
        "UPDATE channels SET next_send_at = platform_now() + interval '1 hour' WHERE id = $1",
        desk.conversation.channel_id,
    )
    await rows.a_send(desk.db, desk.conversation)
    await rows.a_send(desk.db, other, body="dari nomor kedua")

    await desk.work()

    assert desk.waha.texts() == ["dari nomor kedua"]
    assert desk.waha.sent[OTHER][0].session == "second"


async def test_a_place_that_nobody_used_is_given_up(desk: Desk) -> None:
    """After an hour without a messenger not everything that waited leaves at once."""
    for number in range(3):
        conversation = await rows.a_conversation(
            desk.db,
            desk.conversation.tenant_id,
            desk.conversation.channel_id,
            address=f"62812300020{number:02}@c.us",
        )
        await rows.a_send(
            desk.db,
            conversation,
            slot_at=await desk.db.fetchval("SELECT platform_now() - interval '5 minutes'"),
        )

    await desk.work()

    assert len(desk.waha.texts()) == 1


async def test_two_tenants_with_the_same_customer_use_their_own_numbers(desk: Desk) -> None:
    tenant = await rows.a_tenant(desk.db)
    channel = await rows.a_channel(desk.db, tenant, base_url=desk.waha.url, session="theirs")
    theirs = await rows.a_conversation(desk.db, tenant, channel)
    await rows.a_send(desk.db, desk.conversation, body="kami")
    await rows.a_send(desk.db, theirs, body="mereka")

    await desk.work()

    by_session = {sent.session: sent.text for sent in desk.waha.sent[CUSTOMER]}
    assert by_session == {"default": "kami", "theirs": "mereka"}


async def test_the_console_is_told(desk: Desk) -> None:
    await rows.a_send(desk.db, desk.conversation)
    topic = f"conversation:{desk.conversation.tenant_id}:{desk.conversation.id}"

    async with desk.cache.subscribe(topic) as messages:
        await desk.work()
        assert await anext(messages) == b'{"type":"changed"}'
