from shared.kernel.ids import new_id
from tests.integration.ai_platform.audit.plants.inbox_and_queue import LONG_AGO
from tests.integration.ai_platform.audit.plants.planting import drop_keys, plant
from tests.integration.ai_platform.audit.story import Story


@plant("message-twice")
async def a_native_id_is_stored_twice(story: Story) -> set[str]:
    await drop_keys(story.db, "messages")
    native_id = await story.db.fetchval(
        "SELECT native_id FROM messages WHERE id = $1", story.message
    )
    again = await story.one_more_message(native_id=native_id)
    return {f"message:{story.message}", f"message:{again}"}


@plant("message-twice")
async def an_inbox_row_makes_two_messages(story: Story) -> set[str]:
    again = await story.one_more_message(inbox_id=story.inbox)
    return {f"message:{story.message}", f"message:{again}"}


@plant("message-unanswered")
async def a_message_waits_and_no_turn_is_planned(story: Story) -> set[str]:
    waiting = await story.one_more_message(answered_how=None, received_at=story.at(LONG_AGO))
    return {f"message:{waiting}", f"conversation:{story.conversation.id}"}


@plant("message-answered-by-nothing")
async def the_ai_answered_with_a_reply_that_is_not_there(story: Story) -> set[str]:
    lonely = await story.one_more_message(answered_how="ai", answered_by=new_id())
    return {f"message:{lonely}"}


@plant("message-answered-by-nothing")
async def all_bubbles_of_the_answer_were_cancelled(story: Story) -> set[str]:
    await story.db.execute("UPDATE sends SET state = 'cancelled'")
    return {f"message:{story.message}"}


@plant("message-answered-by-nothing")
async def a_person_answered_with_a_message_that_came_in(story: Story) -> set[str]:
    lonely = await story.one_more_message(answered_how="person", answered_by=story.message)
    return {f"message:{lonely}"}


@plant("message-answered-by-nothing")
async def it_was_handed_over_and_nobody_said_so(story: Story) -> set[str]:
    lonely = await story.one_more_message(answered_how="handed_over")
    return {f"message:{lonely}"}


@plant("message-place-twice")
async def two_messages_have_one_place(story: Story) -> set[str]:
    again = await story.one_more_message(seq=1)
    return {f"message:{story.message}", f"message:{again}"}


@plant("message-place-twice")
async def a_place_was_not_counted(story: Story) -> set[str]:
    beyond = await story.one_more_message(seq=2)
    return {f"message:{beyond}", f"conversation:{story.conversation.id}"}


@plant("message-answered-twice")
async def a_second_turn_read_it_and_replied(story: Story) -> set[str]:
    reply = new_id()
    turn = await story.open_turn(state="ended", outcome="replied", reply_id=reply)
    await story.step(0, "read", {"message_id": str(story.message)}, turn_id=turn)
    await story.one_more_bubble(kind="ai", reply_id=reply, turn_id=turn)
    return {f"reply:{story.reply}", f"reply:{reply}", f"message:{story.message}"}


@plant("reply-without-message")
async def somebody_else_counts_as_having_answered(story: Story) -> set[str]:
    typed = await story.one_more_message(direction="out", answered_how=None)
    await story.db.execute(
        "UPDATE messages SET answered_how = 'person', answered_by = $2 WHERE id = $1",
        story.message,
        typed,
    )
    return {f"reply:{story.reply}"}


@plant("reply-without-message")
async def the_turn_never_read_what_it_answered(story: Story) -> set[str]:
    unread = await story.one_more_message(answered_how="ai", answered_by=story.reply)
    return {f"message:{unread}", f"reply:{story.reply}"}
