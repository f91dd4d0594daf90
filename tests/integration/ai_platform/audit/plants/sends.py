from tests.integration.ai_platform.audit.plants.inbox_and_queue import LONG_AGO
from tests.integration.ai_platform.audit.plants.planting import drop_keys, plant
from tests.integration.ai_platform.audit.story import Story


@plant("send-place-twice")
async def two_bubbles_have_one_place(story: Story) -> set[str]:
    await drop_keys(story.db, "sends")
    again = await story.one_more_bubble(seq=2)
    return {f"send:{story.bubbles[1]}", f"send:{again}"}


@plant("send-missing")
async def a_committed_bubble_is_gone(story: Story) -> set[str]:
    await story.db.execute("DELETE FROM sends WHERE id = $1", story.bubbles[1])
    return {f"conversation:{story.conversation.id}"}


@plant("send-open")
async def a_bubble_waits_and_its_work_is_gone(story: Story) -> set[str]:
    waiting = await story.one_more_bubble(queued=False, created_at=story.at(LONG_AGO))
    return {f"send:{waiting}"}


@plant("send-overtaken")
async def the_second_was_claimed_before_the_first_ended(story: Story) -> set[str]:
    await story.db.execute(
        "UPDATE sends SET ended_at = $2 WHERE id = $1", story.bubbles[0], story.at(21)
    )
    return {f"send:{each}" for each in story.bubbles}


@plant("send-overtaken")
async def the_second_was_claimed_while_the_first_is_open(story: Story) -> set[str]:
    waiting = await story.one_more_bubble()
    later = await story.one_more_bubble(
        state="sent", claim_no=1, claimed_at=story.at(55), ended_at=story.at(56), queued=False
    )
    return {f"send:{waiting}", f"send:{later}"}


@plant("send-after-owner-change")
async def it_was_claimed_after_a_takeover(story: Story) -> set[str]:
    return await _owner_changed(story, "conversation.taken_over")


@plant("send-after-owner-change")
async def it_was_claimed_after_a_pause(story: Story) -> set[str]:
    return await _owner_changed(story, "conversation.paused")


@plant("send-after-owner-change")
async def it_was_claimed_after_a_hand_over(story: Story) -> set[str]:
    return await _owner_changed(story, "conversation.handed_over")


@plant("send-after-owner-change")
async def it_was_claimed_after_a_takeover_and_return(story: Story) -> set[str]:
    return await _owner_changed(story, "conversation.returned")


@plant("send-after-owner-change")
async def a_holding_line_was_claimed_after_a_takeover(story: Story) -> set[str]:
    await story.event("conversation.taken_over", 30, owner_epoch=2)
    (event,) = await _events(story, "conversation.taken_over")
    late = await story.one_more_bubble(
        kind="holding",
        owner_epoch=1,
        state="sent",
        claim_no=1,
        claimed_at=story.at(31),
        ended_at=story.at(32),
        queued=False,
    )
    return {f"send:{late}", event}


@plant("send-after-revocation")
async def all_that_it_answers_was_revoked_before_its_claim(story: Story) -> set[str]:
    await story.db.execute(
        "UPDATE messages SET revoked_at = $2 WHERE id = $1", story.message, story.at(15)
    )
    return {f"send:{story.bubbles[1]}"}


@plant("send-repeated")
async def text_of_the_ai_was_repeated(story: Story) -> set[str]:
    await story.db.execute("UPDATE sends SET resent = true WHERE id = $1", story.bubbles[0])
    return {f"send:{story.bubbles[0]}"}


@plant("send-to-no-person")
async def bubbles_went_to_a_group(story: Story) -> set[str]:
    return await _to(story, "120363041234567890@g.us")


@plant("send-to-no-person")
async def bubbles_went_to_the_status(story: Story) -> set[str]:
    return await _to(story, "status@broadcast")


@plant("send-to-no-person")
async def bubbles_went_to_a_newsletter(story: Story) -> set[str]:
    return await _to(story, "120363041234567891@newsletter")


@plant("send-to-no-person")
async def bubbles_went_to_the_shop_itself(story: Story) -> set[str]:
    await story.db.execute("UPDATE channels SET phone = '+628111000111'")
    return await _to(story, "628111000111@c.us")


async def _owner_changed(story: Story, name: str) -> set[str]:
    await story.event(name, 15, owner_epoch=2)
    (event,) = await _events(story, name)
    return {f"send:{story.bubbles[1]}", event}


async def _events(story: Story, name: str) -> list[str]:
    found = await story.db.fetch("SELECT id FROM domain_events WHERE name = $1", name)
    return [f"event:{row['id']}" for row in found]


async def _to(story: Story, address: str) -> set[str]:
    await story.db.execute("DELETE FROM sends WHERE id = $1", story.bubbles[1])
    await story.db.execute("UPDATE conversations SET out_seq = 1, address = $1", address)
    return {f"send:{story.bubbles[0]}", f"conversation:{story.conversation.id}"}
