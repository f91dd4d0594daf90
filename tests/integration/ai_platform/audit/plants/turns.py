from shared.kernel.ids import new_id
from tests.integration.ai_platform.audit.plants.inbox_and_queue import LONG_AGO
from tests.integration.ai_platform.audit.plants.planting import drop_keys, plant
from tests.integration.ai_platform.audit.story import Story


@plant("turn-two-live")
async def two_turns_of_one_conversation_are_open(story: Story) -> set[str]:
    await drop_keys(story.db, "turns")
    return {f"turn:{await story.open_turn()}", f"turn:{await story.open_turn()}"}


@plant("turn-left-open")
async def an_open_turn_has_no_work(story: Story) -> set[str]:
    turn = await story.open_turn(started_at=story.at(LONG_AGO))
    return {f"turn:{turn}", f"conversation:{story.conversation.id}"}


@plant("turn-ended-for-nothing")
async def a_turn_replied_without_a_bubble(story: Story) -> set[str]:
    turn = await story.open_turn(state="ended", outcome="replied", reply_id=new_id())
    return {f"turn:{turn}"}


@plant("turn-replied-twice")
async def a_turn_has_two_replies(story: Story) -> set[str]:
    reply = new_id()
    await story.one_more_bubble(kind="ai", reply_id=reply, turn_id=story.turn)
    return {f"turn:{story.turn}", f"reply:{story.reply}", f"reply:{reply}"}


@plant("turn-stale-reply")
async def the_lease_had_been_taken_when_the_reply_committed(story: Story) -> set[str]:
    await story.db.execute(
        "UPDATE domain_events SET body = body || '{\"fence\": 2}'"
        " WHERE name = 'conversation.replied'"
    )
    return await _reply(story)


@plant("turn-stale-reply")
async def a_newer_worker_had_written_when_the_reply_committed(story: Story) -> set[str]:
    await story.step(4, "check", {"problems": []}, lease_epoch=2, created_at=story.at(2.5))
    return await _reply(story)


@plant("turn-stale-step")
async def an_older_worker_writes_after_a_newer_one(story: Story) -> set[str]:
    await story.step(4, "check", {"problems": []}, lease_epoch=0)
    return {f"turn:{story.turn}", "step:4.0"}


@plant("effect-twice")
async def one_call_has_two_results(story: Story) -> set[str]:
    await drop_keys(story.db, "turn_steps")
    await story.db.execute("INSERT INTO turn_steps SELECT * FROM turn_steps WHERE kind = 'tool'")
    return {f"turn:{story.turn}", "step:2.0"}


@plant("effect-twice")
async def a_result_has_a_key_that_nobody_asked_under(story: Story) -> set[str]:
    await story.step(5, "tool", {}, name="search_products")
    return {f"turn:{story.turn}", "step:5.0"}


@plant("effect-twice")
async def a_result_is_of_another_tool_than_was_asked(story: Story) -> set[str]:
    await story.db.execute("UPDATE turn_steps SET name = 'check_stock' WHERE kind = 'tool'")
    return {f"turn:{story.turn}", "step:2.0"}


async def _reply(story: Story) -> set[str]:
    event = await story.db.fetchval(
        "SELECT id FROM domain_events WHERE name = 'conversation.replied'"
    )
    return {f"event:{event}", f"turn:{story.turn}"}
