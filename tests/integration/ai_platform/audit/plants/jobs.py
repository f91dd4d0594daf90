from shared.kernel.ids import new_id
from tests.integration.ai_platform.audit.plants.inbox_and_queue import LONG_AGO
from tests.integration.ai_platform.audit.plants.planting import drop_keys, plant
from tests.integration.ai_platform.audit.story import Story


@plant("job-open")
async def nobody_has_work_for_it(story: Story) -> set[str]:
    return {f"job:{await story.one_more_job(queued=False)}"}


@plant("job-open")
async def its_deadline_is_long_past(story: Story) -> set[str]:
    job = await story.one_more_job(queued=False, deadline_at=story.at(LONG_AGO))
    await story.work("job.run", job, available_at=story.at(3600))
    return {f"job:{job}"}


@plant("job-open")
async def it_waits_for_a_time_that_nobody_planned(story: Story) -> set[str]:
    job = await story.one_more_job(
        queued=False, status="RETRYING", run=1, next_retry_at=story.at(900)
    )
    await story.job_event("retrying", 45, job)
    return {f"job:{job}"}


@plant("job-ended-twice")
async def two_workers_completed_it(story: Story) -> set[str]:
    return await _ended_again(story, "completed")


@plant("job-ended-twice")
async def it_was_completed_and_cancelled(story: Story) -> set[str]:
    return await _ended_again(story, "cancelled")


async def _ended_again(story: Story, name: str) -> set[str]:
    [first] = await story.db.fetch("SELECT id FROM domain_events WHERE name = 'job.completed'")
    again = await story.job_event(name, 50)
    return {f"job:{story.job}", f"event:{first['id']}", f"event:{again}"}


@plant("job-state-untold")
async def its_end_was_never_told(story: Story) -> set[str]:
    await story.db.execute("DELETE FROM domain_events WHERE name = 'job.completed'")
    return {f"job:{story.job}"}


@plant("job-state-untold")
async def it_was_accepted_twice(story: Story) -> set[str]:
    await story.job_event("created", 2)
    return {f"job:{story.job}"}


@plant("job-state-untold")
async def it_goes_on_after_its_end(story: Story) -> set[str]:
    job = await story.one_more_job(status="PROCESSING", run=1)
    await story.job_event("failed", 41, job)
    return {f"job:{job}"}


@plant("job-state-untold")
async def it_failed_and_was_told_to_be_completed(story: Story) -> set[str]:
    await story.change_job(story.job, status="FAILED", error_code="x", result=None, agent_type=None)
    return {f"job:{story.job}"}


@plant("job-state-untold")
async def a_retry_was_never_told(story: Story) -> set[str]:
    await story.db.execute("DELETE FROM domain_events WHERE name = 'job.retrying'")
    return {f"job:{story.job}"}


@plant("job-state-untold")
async def it_is_done_by_a_run_that_never_began(story: Story) -> set[str]:
    return {f"job:{await story.one_more_job(status='PROCESSING')}"}


@plant("job-graph-unguarded")
async def the_trigger_is_off(story: Story) -> set[str]:
    await story.db.execute("ALTER TABLE jobs DISABLE TRIGGER jobs_follow_the_graph")
    return {"table:jobs"}


@plant("job-graph-unguarded")
async def the_trigger_is_gone(story: Story) -> set[str]:
    await story.db.execute("DROP TRIGGER jobs_follow_the_graph ON jobs")
    return {"table:jobs"}


@plant("job-sum-wrong")
async def it_says_fewer_tokens_than_its_attempts(story: Story) -> set[str]:
    await story.change_job(story.job, tokens_out=9)
    return {f"job:{story.job}"}


@plant("job-sum-wrong")
async def it_costs_more_than_its_attempts(story: Story) -> set[str]:
    await story.change_job(story.job, cost_nanos=138_001)
    return {f"job:{story.job}"}


@plant("job-sum-wrong")
async def an_attempt_is_gone(story: Story) -> set[str]:
    await story.db.execute("DELETE FROM job_attempts WHERE number = 1")
    return {f"job:{story.job}"}


@plant("job-sum-wrong")
async def an_attempt_stands_there_twice(story: Story) -> set[str]:
    await drop_keys(story.db, "job_attempts")
    await story.attempt(story.job, 2, run=2)
    return {f"job:{story.job}"}


@plant("job-sum-wrong")
async def an_attempt_belongs_to_no_run(story: Story) -> set[str]:
    await story.attempt(story.job, 3, run=3)
    return {f"job:{story.job}"}


@plant("job-use-uncounted")
async def its_use_counts_against_no_budget(story: Story) -> set[str]:
    await story.db.execute("DELETE FROM llm_usage")
    return {f"tenant:{story.tenant}"}


@plant("job-use-uncounted")
async def its_cost_is_counted_in_part(story: Story) -> set[str]:
    await story.db.execute("UPDATE llm_usage SET cost_nanos = cost_nanos - 1")
    return {f"tenant:{story.tenant}"}


@plant("job-answered-by-nobody")
async def an_outage_was_completed(story: Story) -> set[str]:
    await story.db.execute("UPDATE job_attempts SET outcome = 'model_unavailable'")
    return {f"job:{story.job}"}


@plant("job-answered-by-nobody")
async def another_agent_is_named_than_the_one_who_answered(story: Story) -> set[str]:
    await story.change_job(story.job, agent_type="followup")
    return {f"job:{story.job}"}


@plant("job-answered-by-nobody")
async def an_earlier_run_answered(story: Story) -> set[str]:
    await story.change_job(story.job, run=3)
    return {f"job:{story.job}"}


@plant("job-excused")
async def an_outage_was_excused_by_the_fallback(story: Story) -> set[str]:
    await story.db.execute("UPDATE job_attempts SET outcome = 'model_unavailable' WHERE number = 2")
    await story.attempt(story.job, 3, run=2, agent="fallback", id=new_id())
    await story.change_job(story.job, agent_type="fallback")
    return {f"job:{story.job}"}
