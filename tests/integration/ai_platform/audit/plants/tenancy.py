from tests.integration.ai_platform.audit.plants.planting import plant
from tests.integration.ai_platform.audit.story import Story, tell


@plant("row-of-another-tenant")
async def a_message_came_from_another_tenants_inbox(story: Story) -> set[str]:
    other = await _other(story)
    message = await story.one_more_message(inbox_id=other.inbox)
    return {f"message:{message}", f"inbox:{other.inbox}"}


@plant("row-of-another-tenant")
async def a_bubble_was_written_by_another_tenants_turn(story: Story) -> set[str]:
    other = await _other(story)
    bubble = await story.one_more_bubble(turn_id=other.turn)
    return {f"send:{bubble}", f"turn:{other.turn}"}


@plant("row-of-another-tenant")
async def a_message_was_answered_by_another_tenants_bubble(story: Story) -> set[str]:
    other = await _other(story)
    bubble = await other.one_more_bubble()
    reply = await story.db.fetchval("SELECT reply_id FROM sends WHERE id = $1", bubble)
    await story.db.execute(
        "UPDATE messages SET answered_how = 'nothing_to_answer', answered_by = $2 WHERE id = $1",
        await story.one_more_message(),
        reply,
    )
    (message,) = await story.db.fetch("SELECT id FROM messages WHERE answered_by = $1", reply)
    return {f"message:{message['id']}", f"send:{bubble}"}


@plant("row-of-another-tenant")
async def a_turn_read_another_tenants_message(story: Story) -> set[str]:
    other = await _other(story)
    await story.step(4, "read", {"message_id": str(other.message)})
    # the same message in two replies is a promise of its own
    await story.db.execute("UPDATE turns SET outcome = NULL WHERE id = $1", story.turn)
    return {f"turn:{story.turn}", f"message:{other.message}"}


@plant("row-of-another-tenant")
async def work_names_another_tenants_delivery(story: Story) -> set[str]:
    other = await _other(story)
    row = await story.work("inbox.waha", other.inbox)
    return {f"queue:{row}", f"inbox:{other.inbox}"}


@plant("row-of-another-tenant")
async def work_names_another_tenants_bubble(story: Story) -> set[str]:
    other = await _other(story)
    row = await story.work("send", other.bubbles[0])
    return {f"queue:{row}", f"send:{other.bubbles[0]}"}


@plant("row-of-another-tenant")
async def work_names_another_tenants_conversation(story: Story) -> set[str]:
    other = await _other(story)
    row = await story.work("conversation.turn", other.conversation.id)
    return {f"queue:{row}", f"conversation:{other.conversation.id}"}


@plant("row-of-another-tenant")
async def an_event_tells_of_another_tenants_conversation(story: Story) -> set[str]:
    other = await _other(story)
    event = await story.event(
        "conversation.message_changed", 5, conversation_id=other.conversation.id, change="edited"
    )
    return {f"event:{event}", f"conversation:{other.conversation.id}"}


@plant("row-of-another-tenant")
async def work_names_another_tenants_job(story: Story) -> set[str]:
    other = await _other(story)
    row = await story.work("job.run", other.job)
    return {f"queue:{row}", f"job:{other.job}"}


@plant("row-of-another-tenant")
async def an_event_tells_of_another_tenants_job(story: Story) -> set[str]:
    other = await _other(story)
    event = await story.job_event("retrying", 50, other.job)
    return {f"event:{event}", f"job:{other.job}"}


@plant("table-without-wall")
async def row_level_security_is_off(story: Story) -> set[str]:
    await story.db.execute("ALTER TABLE messages DISABLE ROW LEVEL SECURITY")
    return {"table:messages"}


@plant("table-without-wall")
async def row_level_security_is_not_forced(story: Story) -> set[str]:
    await story.db.execute("ALTER TABLE sends NO FORCE ROW LEVEL SECURITY")
    return {"table:sends"}


@plant("table-without-wall")
async def a_policy_lets_everything_through(story: Story) -> set[str]:
    await story.db.execute(
        "CREATE POLICY convenience ON turns TO platform_app USING (true) WITH CHECK (true)"
    )
    return {"table:turns"}


@plant("table-without-wall")
async def a_policy_lets_every_write_through(story: Story) -> set[str]:
    await story.db.execute("ALTER POLICY tenant ON turns WITH CHECK (true)")
    return {"table:turns"}


@plant("table-without-wall")
async def a_new_table_has_no_wall(story: Story) -> set[str]:
    await story.db.execute("CREATE TABLE ideas (tenant_id uuid, id uuid, body text)")
    return {"table:ideas"}


async def _other(story: Story) -> Story:
    return await tell(story.db)
