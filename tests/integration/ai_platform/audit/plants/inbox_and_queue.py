from shared.kernel.ids import new_id
from tests.integration.ai_platform.audit.plants.planting import drop_keys, plant
from tests.integration.ai_platform.audit.story import Story

LONG_AGO = -600.0


@plant("inbox-event-twice")
async def the_same_body_is_stored_twice(story: Story) -> set[str]:
    await drop_keys(story.db, "inbox_events")
    again = new_id()
    await story.db.execute(
        "INSERT INTO inbox_events (id, tenant_id, source, endpoint_id, body, body_sha256, state,"
        " reason) SELECT $1, tenant_id, source, endpoint_id, body, body_sha256, 'ignored',"
        " 'duplicate' FROM inbox_events WHERE id = $2",
        again,
        story.inbox,
    )
    return {f"inbox:{story.inbox}", f"inbox:{again}"}


@plant("inbox-event-open")
async def a_row_was_received_and_its_work_is_gone(story: Story) -> set[str]:
    await story.db.execute(
        "UPDATE inbox_events SET state = 'received', received_at = $2 WHERE id = $1",
        story.inbox,
        story.at(LONG_AGO),
    )
    return {f"inbox:{story.inbox}"}


@plant("inbox-event-without-reason")
async def a_parked_row_says_no_reason(story: Story) -> set[str]:
    await story.db.execute("UPDATE inbox_events SET state = 'parked' WHERE id = $1", story.inbox)
    return {f"inbox:{story.inbox}"}


@plant("inbox-event-without-reason")
async def an_ignored_row_says_an_empty_reason(story: Story) -> set[str]:
    await story.db.execute(
        "UPDATE inbox_events SET state = 'ignored', reason = '' WHERE id = $1", story.inbox
    )
    return {f"inbox:{story.inbox}"}


@plant("queue-row-open")
async def due_work_lies_about(story: Story) -> set[str]:
    row = await story.work("channel.repair", "x", available_at=story.at(LONG_AGO))
    return {f"queue:{row}"}


@plant("queue-row-open")
async def its_holder_died(story: Story) -> set[str]:
    row = await story.work(
        "channel.repair",
        "x",
        available_at=story.at(LONG_AGO),
        lease_id=new_id(),
        lease_until=story.at(LONG_AGO + 30),
    )
    return {f"queue:{row}"}


@plant("queue-row-open")
async def the_first_in_its_order_lies_about_and_the_second_waits_for_it(story: Story) -> set[str]:
    places = [
        await story.work("send", n, ordering_key="x", position=n, available_at=story.at(LONG_AGO))
        for n in (1, 2)
    ]
    return {f"queue:{places[0]}"}


@plant("domain-event-twice")
async def a_message_was_received_twice(story: Story) -> set[str]:
    events = await _ids(story, "conversation.message_received")
    events.append(
        await story.event(
            "conversation.message_received", 1, message_id=story.message, direction="in"
        )
    )
    return {f"event:{each}" for each in events}


@plant("domain-event-twice")
async def a_reply_was_committed_twice(story: Story) -> set[str]:
    events = await _ids(story, "conversation.replied")
    body = {"turn_id": story.turn, "reply_id": story.reply, "lease_epoch": 1, "fence": 1}
    events.append(await story.event("conversation.replied", 4, **body))
    return {f"event:{each}" for each in events}


@plant("domain-event-twice")
async def a_sent_bubble_failed_as_well(story: Story) -> set[str]:
    events = await _ids(story, "send.sent", story.bubbles[0])
    events.append(await story.event("send.failed", 50, send_id=story.bubbles[0]))
    return {f"event:{each}" for each in events}


@plant("domain-event-twice")
async def two_owners_began_with_the_same_epoch(story: Story) -> set[str]:
    events = [
        await story.event("conversation.taken_over", 50, owner_epoch=2),
        await story.event("conversation.paused", 51, owner_epoch=2),
    ]
    return {f"event:{each}" for each in events}


async def _ids(story: Story, name: str, send: object = None) -> list[object]:
    found = await story.db.fetch(
        "SELECT id FROM domain_events WHERE name = $1"
        " AND ($2::text IS NULL OR body->>'send_id' = $2)",
        name,
        None if send is None else str(send),
    )
    return [row["id"] for row in found]
