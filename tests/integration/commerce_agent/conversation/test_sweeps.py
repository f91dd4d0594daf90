"""Lost queue rows are found and made due, by any number of sweepers."""

import asyncio
from datetime import timedelta

from commerce_agent.infrastructure.persistence.sweeps import SqlSweeper
from shared.kernel.ids import new_id
from shared.messaging.port import Queue
from tests.integration.commerce_agent.conversation.conftest import Desk
from tests.support import rows
from tests.support.postgres import TestDatabase


async def _lose_everything(desk: Desk) -> None:
    await desk.db.execute("DELETE FROM queue_messages")
    await desk.db.jump(60)


async def test_an_event_in_the_inbox_without_work_is_found(desk: Desk) -> None:
    await desk.deliver(desk.hooks.message("halo"))
    await _lose_everything(desk)

    assert await desk.container.sweeper.restore_lost_work() == 1
    await desk.drain()
    assert await desk.bubbles() == ["Jawaban untuk: halo"]


async def test_a_waiting_conversation_without_a_turn_is_found(desk: Desk) -> None:
    await desk.hears("halo")
    await _lose_everything(desk)

    assert await desk.container.sweeper.restore_lost_work() == 1
    assert await desk.drain() == ["conversation.turn done"]
    assert await desk.bubbles() == ["Jawaban untuk: halo"]


async def test_unsent_bubbles_without_work_are_found_in_their_order(desk: Desk) -> None:
    for text in ("satu", "dua"):
        await desk.hears(text)
        await desk.drain()
    before = await desk.db.fetch(
        "SELECT key, ordering_key, position FROM queue_messages ORDER BY position"
    )
    await _lose_everything(desk)

    assert await desk.container.sweeper.restore_lost_work() == 2
    after = await desk.db.fetch(
        "SELECT key, ordering_key, position FROM queue_messages ORDER BY position"
    )
    assert after == before


async def test_what_is_done_or_a_persons_is_left_alone(desk: Desk) -> None:
    await desk.hears("halo")
    await desk.drain()
    await desk.db.execute("UPDATE sends SET state = 'sent'")
    await desk.hears("kedua", chat="6281230000009@c.us")
    other = await desk.conversation_id("6281230000009@c.us")
    await desk.people.take_over(desk.tenant, other, actor="rina")
    await _lose_everything(desk)

    assert await desk.container.sweeper.restore_lost_work() == 0
    assert await desk.count("queue_messages") == 0


async def test_work_that_is_there_is_not_found(desk: Desk) -> None:
    await desk.hears("halo")
    await desk.deliver(desk.hooks.message("lagi"))
    await desk.db.jump(60)

    assert await desk.container.sweeper.restore_lost_work() == 0


async def test_two_sweepers_at_once_do_no_harm(desk: Desk) -> None:
    await desk.hears("halo")
    await desk.deliver(desk.hooks.message("lagi"))
    await _lose_everything(desk)
    second = SqlSweeper(desk.work.database)
    await asyncio.gather(desk.container.sweeper.restore_lost_work(), second.restore_lost_work())

    assert await desk.count("queue_messages") == 2
    await desk.drain()
    assert set((await desk.answered()).values()) == {"ai"}
    assert await desk.count("messages") == 2


async def test_sweeps_see_all_tenants_and_write_as_each(
    desk: Desk, test_database: TestDatabase
) -> None:
    other = await rows.a_tenant(test_database)
    channel = await rows.a_channel(test_database, other)
    await desk.deliver(desk.hooks.message("satu"))
    await desk.deliver(desk.hooks.message("dua"), tenant=other, channel=channel)
    await _lose_everything(desk)

    assert await desk.container.sweeper.restore_lost_work() == 2
    tenants = await desk.db.fetch("SELECT tenant_id FROM queue_messages")
    assert {row["tenant_id"] for row in tenants} == {desk.tenant, other}


async def test_every_active_waha_channel_is_looked_after(desk: Desk) -> None:
    await rows.a_channel(desk.db, desk.tenant, kind="simulator")
    await rows.a_channel(desk.db, desk.tenant, active=False)
    suspended = await rows.a_tenant(desk.db, status="suspended")
    await rows.a_channel(desk.db, suspended)

    assert await desk.container.sweeper.look_after_channels() == 1
    found = await desk.db.fetch("SELECT kind, key FROM queue_messages")
    assert [(row["kind"], row["key"]) for row in found] == [("channel.repair", str(desk.channel))]


async def test_a_turn_of_a_conversation_that_is_gone_is_finished(desk: Desk) -> None:
    await desk.enqueue("conversation.turn", str(new_id()))
    assert await desk.drain() == ["conversation.turn done"]
    assert await desk.count("queue_messages") == 0


async def test_an_event_that_cannot_be_stored_is_parked_when_it_is_given_up(desk: Desk) -> None:
    await desk.deliver(desk.hooks.message("halo"))
    claim = (await desk.work.queue.claim(Queue.CRM_TASKS, 1, wait=timedelta(0)))[0]
    route = desk.container.routes["inbox.waha"]
    await desk.work.queue.dead_letter(claim, code="a_bug", detail="", give_up=route.give_up)

    event = (await desk.db.fetch("SELECT state, reason FROM inbox_events"))[0]
    assert (event["state"], event["reason"]) == ("parked", "a_bug")
    await desk.db.jump(60)
    assert await desk.container.sweeper.restore_lost_work() == 0
