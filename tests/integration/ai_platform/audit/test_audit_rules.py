"""Every rule of the audit finds what it is there for, names the rows, and finds nothing else."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ai_platform.audit.audit import RULES, audit_database
from ai_platform.audit.rules import Bounds, Violation
from shared.kernel.ids import TenantId, new_id
from tests.integration.ai_platform.audit.plants import (
    inbox_and_queue as inbox_and_queue,
)
from tests.integration.ai_platform.audit.plants import jobs as jobs
from tests.integration.ai_platform.audit.plants import messages as messages
from tests.integration.ai_platform.audit.plants import sends as sends
from tests.integration.ai_platform.audit.plants import tenancy as tenancy
from tests.integration.ai_platform.audit.plants import turns as turns
from tests.integration.ai_platform.audit.plants.planting import PLANTS, Plant
from tests.integration.ai_platform.audit.story import Story, tell
from tests.support.postgres import TestDatabase

LONG_AGO = inbox_and_queue.LONG_AGO
OF_THE_SCHEMA = ("table-without-wall", "job-graph-unguarded")


async def audit(
    db: TestDatabase, *, settled: bool = False, bounds: Bounds | None = None
) -> list[Violation]:
    async with db.admin() as connection:
        return await audit_database(connection, settled=settled, bounds=bounds)


def told(found: list[Violation]) -> list[tuple[str, set[str]]]:
    return [(each.rule, set(each.ids)) for each in found]


@pytest.mark.parametrize("planted", PLANTS, ids=str)
async def test_a_broken_promise_is_found_and_nothing_else(planted: Plant, story: Story) -> None:
    ids = await planted.break_it(story)
    found = await audit(story.db)
    assert told(found) == [(planted.rule, ids)]
    assert found[0].tenant_id == (None if planted.rule in OF_THE_SCHEMA else story.tenant)


def test_every_rule_has_been_seen_to_fail() -> None:
    assert {planted.rule for planted in PLANTS} == {rule.name for rule in RULES}
    assert len({rule.name for rule in RULES}) == len(RULES)


async def test_a_story_that_keeps_every_promise_is_clean(story: Story) -> None:
    await tell(story.db)
    assert await audit(story.db, settled=True) == []


async def test_only_the_tenants_asked_for_are_looked_at(story: Story) -> None:
    other = await tell(story.db)
    row = await other.work("channel.repair", "x", available_at=other.at(LONG_AGO))
    async with story.db.admin() as connection:
        assert await audit_database(connection, tenants=[story.tenant]) == []
        found = await audit_database(connection, tenants=[other.tenant])
    assert told(found) == [("queue-row-open", {f"queue:{row}"})]


async def test_work_of_a_tenant_that_is_gone_is_seen(story: Story) -> None:
    here, gone = story.tenant, TenantId(new_id())
    story.tenant = gone
    row = await story.work("x", "x", available_at=story.at(LONG_AGO))
    story.tenant = here
    found = await audit(story.db)
    assert [(each.tenant_id, each.ids) for each in found] == [(gone, (f"queue:{row}",))]


# -- what is open is no violation before its time, and one when all ought to be done ---------------


async def test_what_is_planned_or_under_way_is_not_late(story: Story) -> None:
    later, long_ago = story.at(3600), story.at(LONG_AGO)
    turn = {"key": story.conversation.id, "available_at": later}
    await story.work("conversation.turn", **turn)
    await story.one_more_message(answered_how=None, received_at=long_ago)
    await story.open_turn(started_at=long_ago)
    await story.db.execute("UPDATE inbox_events SET state = 'received', received_at = $1", long_ago)
    await story.work(
        "inbox.waha", story.inbox, available_at=long_ago, lease_id=new_id(), lease_until=later
    )
    await story.one_more_bubble(created_at=long_ago)
    await story.one_more_job()
    assert await audit(story.db) == []


async def test_in_the_end_nothing_may_be_left(story: Story) -> None:
    conversation = f"conversation:{story.conversation.id}"
    work = await story.work("conversation.turn", story.conversation.id)
    message = await story.one_more_message(answered_how=None)
    turn = await story.open_turn()
    await story.db.execute("UPDATE inbox_events SET state = 'received'")
    send = await story.one_more_bubble(queued=False)
    job = await story.one_more_job(queued=False)
    assert told(await audit(story.db, settled=True)) == [
        ("inbox-event-open", {f"inbox:{story.inbox}"}),
        ("queue-row-open", {f"queue:{work}"}),
        ("message-unanswered", {f"message:{message}", conversation}),
        ("turn-left-open", {f"turn:{turn}", conversation}),
        ("send-open", {f"send:{send}"}),
        ("job-open", {f"job:{job}"}),
    ]


async def test_what_waits_for_a_person_is_theirs(story: Story) -> None:
    await story.db.execute("UPDATE conversations SET owner = 'person', owner_epoch = 2")
    await story.one_more_message(answered_how=None, received_at=story.at(LONG_AGO))
    await story.open_turn(started_at=story.at(LONG_AGO))
    assert await audit(story.db, settled=True) == []


async def test_the_bound_is_lease_sweep_and_work_after_the_last_fault(story: Story) -> None:
    second = timedelta(seconds=1)
    row = await story.work("channel.repair", "x", available_at=story.at(100))
    late = [("queue-row-open", {f"queue:{row}"})]
    quick = Bounds(lease=second, sweep=2 * second, work=3 * second)
    after_a_fault = replace(quick, faults_until=story.at(200))
    for bounds, limit in ((Bounds(), 155), (quick, 106), (after_a_fault, 206)):
        await stop_clock(story, limit)
        assert await audit(story.db, bounds=bounds) == []
        await stop_clock(story, limit + 0.001)
        assert told(await audit(story.db, bounds=bounds)) == late


async def stop_clock(story: Story, seconds: float) -> None:
    """It is that many seconds into the story, and stays so."""
    await story.db.execute(
        "CREATE OR REPLACE FUNCTION platform_now() RETURNS timestamptz LANGUAGE sql STABLE AS "
        f"$$SELECT timestamptz '{story.at(seconds).isoformat()}'$$"
    )


# -- what looks broken and is not ----------------------------------------------------------------


async def test_bubbles_that_came_from_another_conversation_keep_their_past(story: Story) -> None:
    await story.db.execute("UPDATE sends SET ended_at = $1", story.at(40))
    await story.event("conversation.taken_over", 5, owner_epoch=3)
    await story.event("conversation.merged", 45, merged_id=new_id())
    assert await audit(story.db) == []


async def test_a_journal_that_was_joined_to_another_keeps_its_epochs(story: Story) -> None:
    await story.step(4, "check", {"problems": []}, lease_epoch=7, created_at=story.at(2.2))
    await story.event("conversation.merged", 2.8, merged_id=new_id())
    assert await audit(story.db) == []


async def test_a_reply_that_was_taken_back_is_no_second_one(story: Story) -> None:
    reply = new_id()
    await story.one_more_bubble(
        kind="ai", reply_id=reply, turn_id=story.turn, state="cancelled", queued=False
    )
    await story.step(4, "discard", {"draft": "x"}, lease_epoch=0)
    assert await audit(story.db) == []


async def test_a_bubble_may_be_claimed_when_part_of_what_it_answers_was_revoked(
    story: Story,
) -> None:
    other = await story.one_more_message(answered_how="ai", answered_by=story.reply)
    await story.step(4, "read", {"message_id": str(other)})
    await story.db.execute("UPDATE messages SET revoked_at = $2 WHERE id = $1", other, story.at(5))
    assert await audit(story.db) == []


async def test_a_notice_may_be_repeated_and_sent_after_a_takeover(story: Story) -> None:
    await story.event("conversation.taken_over", 30, owner_epoch=2)
    await story.one_more_bubble(
        resent=True,
        owner_epoch=1,
        state="sent",
        claim_no=2,
        claimed_at=story.at(51),
        ended_at=story.at(52),
        queued=False,
    )
    assert await audit(story.db) == []


async def test_the_fallback_may_answer_a_violation_and_an_invalid_answer(story: Story) -> None:
    await story.attempt(story.job, 3, run=2, agent="fallback")
    await story.change_job(story.job, agent_type="fallback")
    assert await audit(story.db) == []
    await story.db.execute("UPDATE job_attempts SET agent = 'moderation' WHERE number = 2")
    await story.change_job(story.job, moderation='{"verdict": "violation"}')
    assert await audit(story.db) == []


async def test_a_job_that_waits_for_its_next_try_is_not_late(story: Story) -> None:
    due = story.at(900)
    job = await story.one_more_job(queued=False, status="RETRYING", run=1, next_retry_at=due)
    await story.job_event("retrying", 45, job)
    await story.work("job.run", job, available_at=due)
    assert await audit(story.db) == []
