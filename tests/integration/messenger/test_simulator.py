"""The simulated phone: the same path, shown in ``simulator_messages``."""

import asyncio
import json

import pytest_asyncio

from tests.integration.messenger.conftest import Desk
from tests.support import rows
from tests.support.waha_webhooks import CUSTOMER


@pytest_asyncio.fixture(loop_scope="session")
async def phone(desk: Desk) -> Desk:
    """The desk, with a conversation on a simulator channel."""
    tenant = desk.conversation.tenant_id
    channel = await rows.a_channel(desk.db, tenant, kind="simulator", session="simulator")
    desk.conversation = await rows.a_conversation(
        desk.db, tenant, channel, desk.conversation.customer_id
    )
    return desk


async def shown(desk: Desk) -> list[tuple[bool, str]]:
    found = await desk.db.fetch(
        "SELECT from_customer, body FROM simulator_messages ORDER BY created_at, native_id"
    )
    return [(row["from_customer"], row["body"]) for row in found]


async def test_a_bubble_appears_on_the_phone(phone: Desk) -> None:
    await rows.insert(
        phone.db,
        "simulator_messages",
        {
            "tenant_id": phone.conversation.tenant_id,
            "channel_id": phone.conversation.channel_id,
            "native_id": "SIMASK",
            "address": CUSTOMER,
            "from_customer": True,
            "body": "halo",
        },
    )
    send = await rows.a_send(phone.db, phone.conversation, body="Halo kak")
    topic = f"chat:{phone.conversation.tenant_id}:{phone.conversation.channel_id}:{CUSTOMER}"

    async with phone.cache.subscribe(topic) as messages:
        await phone.work()
        async with asyncio.timeout(5):
            told = [json.loads(await anext(messages)) for _ in range(4)]

    assert told == [
        {"type": "changed"},  # seen
        {"type": "typing", "on": True},
        {"type": "typing", "on": False},
        {"type": "changed"},  # the bubble
    ]
    assert await shown(phone) == [(True, "halo"), (False, "Halo kak")]
    assert (await phone.db.fetch("SELECT seen_at FROM simulator_messages WHERE from_customer"))[0][
        "seen_at"
    ] is not None
    row = await phone.send(send)
    assert row["state"] == "sent"
    assert row["native_id"] == row["reserved_id"]
    assert phone.waha.calls == []


async def test_a_crash_after_the_bubble_appeared_is_found_out(phone: Desk) -> None:
    send = await rows.a_send(phone.db, phone.conversation, body="Halo kak")
    await phone.work()
    await phone.db.execute(
        "UPDATE sends SET state = 'sending', ended_at = NULL, native_id = NULL WHERE id = $1", send
    )
    await rows.queue_send(phone.db, phone.conversation, send, 1)

    await phone.work()
    assert await phone.states(send) == ["unknown"]
    await phone.db.jump(61)
    await phone.work()

    assert await phone.states(send) == ["sent"]
    assert await shown(phone) == [(False, "Halo kak")]


async def test_a_location_and_a_picture_keep_their_content(phone: Desk) -> None:
    place = {"type": "location", "latitude": -6.2, "longitude": 106.8}
    await rows.a_send(phone.db, phone.conversation, body="Toko", media=place)

    await phone.work()

    (content,) = await phone.db.fetch("SELECT content FROM simulator_messages")
    assert json.loads(content["content"]) == place
