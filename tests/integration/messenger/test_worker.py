"""The process: it works until it is told to stop, and leaves nothing leased."""

import asyncio
from datetime import timedelta
from pathlib import Path
from random import Random

from messenger.worker import serve
from shared.config.settings import ObservabilitySettings, PlatformSettings, WahaSettings
from shared.messaging.port import Claim, Queue
from tests.integration.messenger.conftest import Desk
from tests.support import rows
from tests.support.fake_waha import Delay, Hang
from tests.support.waha_webhooks import CUSTOMER


def at_full_speed(desk: Desk, **observability: Path) -> PlatformSettings:
    """The desk's settings without pace and typing."""
    return desk.settings.model_copy(
        update={
            "observability": ObservabilitySettings(**observability),
            "waha": WahaSettings(
                send_pace_seconds=timedelta(0), typing_seconds_per_character=timedelta(0)
            ),
        }
    )


async def test_it_sends_what_comes_and_stops_when_asked(desk: Desk, tmp_path: Path) -> None:
    settings = at_full_speed(desk, run_dir=tmp_path)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(settings, stop))
        for body in ("satu", "dua", "tiga"):
            await rows.a_send(desk.db, desk.conversation, body=body)
        await desk.waha.until(lambda: len(desk.waha.sent[CUSTOMER]) == 3)
        assert (tmp_path / "messenger.heartbeat").exists()
        stop.set()

    assert desk.waha.texts(CUSTOMER) == ["satu", "dua", "tiga"]
    assert await desk.queued() == []
    assert not (tmp_path / "messenger.heartbeat").exists()


async def test_three_messengers_keep_every_order_and_repeat_nothing(desk: Desk) -> None:
    """Four customers, five bubbles each, and a server whose answers take their time."""
    random = Random(11)
    conversations = [desk.conversation] + [
        await rows.a_conversation(
            desk.db,
            desk.conversation.tenant_id,
            desk.conversation.channel_id,
            address=f"62812400010{number:02}@c.us",
        )
        for number in range(3)
    ]
    for number in range(5):
        for conversation in conversations:
            await rows.a_send(desk.db, conversation, body=str(number))
    desk.waha.fault("/api/sendText", *(Delay(random.uniform(0, 0.05)) for _ in range(20)))

    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(serve(at_full_speed(desk), stop))
        await desk.waha.until(lambda: len(desk.waha.texts()) == 20, seconds=30)
        stop.set()

    for conversation in conversations:
        assert desk.waha.texts(conversation.address) == ["0", "1", "2", "3", "4"]
    assert len(desk.waha.paths("sendText")) == 20
    assert await desk.queued() == []


async def test_a_messenger_that_dies_during_the_call_leaves_one_bubble(desk: Desk) -> None:
    send = await rows.a_send(desk.db, desk.conversation)
    after = await rows.a_send(desk.db, desk.conversation, body="sesudahnya")
    desk.waha.fault("/api/sendText", Hang(done=True))
    (claim,) = await desk.queue.claim(Queue.WA_MESSAGES, 1, wait=timedelta(0))
    dying = asyncio.create_task(_handle(desk, claim))
    await desk.waha.until(lambda: len(desk.waha.sent[CUSTOMER]) == 1)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    assert await desk.states(send, after) == ["sending", "pending"]

    for jump in (31, 100, 110):  # its lease, the wait for an echo, the next bubble's pace
        await desk.db.jump(jump)
        await desk.work()

    assert await desk.states(send, after) == ["sent", "sent"]
    assert desk.waha.texts(CUSTOMER) == ["Halo juga", "sesudahnya"]
    assert await desk.queued() == []


async def _handle(desk: Desk, claim: Claim) -> None:
    await desk.routes["send"].handle(claim)
