"""The database's graph of a job's states is the code's."""

import asyncpg
import pytest

from gateway.domain.value_objects.job_status import JobStatus
from shared.kernel.ids import new_id
from tests.support.postgres import TestDatabase

_INSERT = (
    "INSERT INTO jobs (tenant_id, id, status, prompt, config_name, template_name, deadline_at)"
    " VALUES ($1, $1, $2, 'Halo', 'offline', 't', platform_now())"
)
_MOVE = """
    UPDATE jobs SET status = $1,
        result = CASE WHEN $1 = 'COMPLETED' THEN 'Baik.' END,
        error_code = CASE WHEN $1 = 'FAILED' THEN 'x' END,
        finished_at = CASE WHEN $1 IN ('COMPLETED', 'FAILED', 'CANCELLED')
                           THEN platform_now() END
"""
_ARRIVE = {
    JobStatus.QUEUED: (),
    JobStatus.PROCESSING: ("PROCESSING",),
    JobStatus.RETRYING: ("PROCESSING", "RETRYING"),
    JobStatus.COMPLETED: ("PROCESSING", "COMPLETED"),
    JobStatus.FAILED: ("FAILED",),
    JobStatus.CANCELLED: ("CANCELLED",),
}


@pytest.mark.parametrize("start", JobStatus)
async def test_the_trigger_and_the_status_agree_on_every_pair(
    test_database: TestDatabase, start: JobStatus
) -> None:
    async with test_database.admin() as connection:
        for target in JobStatus:
            await connection.execute("DELETE FROM jobs")
            await connection.execute(_INSERT, new_id(), "QUEUED")
            for step in _ARRIVE[start]:
                await connection.execute(_MOVE, step)
            if start.can_transition_to(target) or target is start:
                await connection.execute(_MOVE, target.value)
                stands = target
            else:
                with pytest.raises(asyncpg.CheckViolationError) as refused:
                    await connection.execute(_MOVE, target.value)
                assert refused.value.sqlstate == "23514"
                assert refused.value.message == f"a job cannot go from {start} to {target}"
                assert refused.value.constraint_name == "jobs_follow_the_graph"
                stands = start
            assert await connection.fetchval("SELECT status FROM jobs") == stands


async def test_a_job_begins_queued(test_database: TestDatabase) -> None:
    for status in JobStatus:
        if status is JobStatus.QUEUED:
            continue
        with pytest.raises(asyncpg.CheckViolationError, match="a job begins QUEUED"):
            await test_database.execute(_INSERT, new_id(), status.value)
    assert await test_database.fetchval("SELECT count(*) FROM jobs") == 0


async def test_an_ended_job_may_still_learn_other_things(test_database: TestDatabase) -> None:
    await test_database.execute(_INSERT, new_id(), "QUEUED")
    await test_database.execute(_MOVE, "CANCELLED")
    await test_database.execute("UPDATE jobs SET status = status, tokens_in = 7")
    assert await test_database.fetchval("SELECT tokens_in FROM jobs") == 7


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("result = 'x'", "ck_jobs_completed_has_result"),
        ("error_code = 'x'", "ck_jobs_failed_has_code"),
        ("finished_at = platform_now()", "ck_jobs_final_has_end"),
        ("next_retry_at = platform_now()", "ck_jobs_next_retry_is_planned"),
        ("status = 'CANCELLED'", "ck_jobs_final_has_end"),
        ("max_retries = 21", "ck_jobs_max_retries"),
        ("retry_count = -1", "ck_jobs_retry_count"),
        ("prompt = ''", "ck_jobs_prompt"),
        ("prompt = repeat('x', 100001)", "ck_jobs_prompt"),
        ("priority = 11", "ck_jobs_priority"),
        ("pipeline = 'both'", "ck_jobs_pipeline"),
        ("agent_type = 'moderation'", "ck_jobs_agent_type"),
        ("cost_nanos = -1", "ck_jobs_usage"),
    ],
)
async def test_a_row_that_contradicts_itself_is_refused(
    test_database: TestDatabase, change: str, constraint: str
) -> None:
    await test_database.execute(_INSERT, new_id(), "QUEUED")
    before = await test_database.fetch("SELECT * FROM jobs")
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await test_database.execute(f"UPDATE jobs SET {change}")
    assert refused.value.constraint_name == constraint
    assert await test_database.fetch("SELECT * FROM jobs") == before
