"""The statements by which a worker moves jobs: each wall alone, and what they tell."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from gateway.domain.events.job_events import JobCompleted, JobFailed, JobRetrying
from gateway.domain.value_objects.job_id import JobId
from llm_worker.application.dto.processing_dto import Attempt, RunRecord
from llm_worker.application.ports.jobs import Run, RunningJob
from llm_worker.infrastructure.persistence.setups import SqlSetups
from shared.kernel.events import DomainEvent
from shared.messaging.port import Claim, ClaimLost
from tests.support import rows
from tests.support.job_path import JobPath

SECOND = timedelta(seconds=1)


def a_record(calls: int = 1) -> RunRecord:
    attempt = Attempt(
        agent="main",
        config_name="x",
        model="m",
        started_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        milliseconds=5,
        tokens_in=3,
        tokens_out=2,
        cost_nanos=7,
        outcome="ok",
        error=None,
    )
    return RunRecord(attempts=[attempt] * calls, moderation={"verdict": "allowed"})


End = Callable[[JobPath, Claim, RunningJob], Awaitable[None]]


async def complete(path: JobPath, claim: Claim, job: RunningJob) -> None:
    await path.worker.desk.complete(claim, job, a_record(), text="Baik.", agent_type="main")


async def fail(path: JobPath, claim: Claim, job: RunningJob) -> None:
    await path.worker.desk.fail(claim, job, a_record(), code="x", error="X.")


async def retry(path: JobPath, claim: Claim, job: RunningJob) -> None:
    await path.worker.desk.retry(claim, job, a_record(), delay=SECOND, counted=True, error="Away.")


ENDS = pytest.mark.parametrize("end", [complete, fail, retry])


async def _started(path: JobPath) -> tuple[Claim, RunningJob]:
    claim = await path.claim()
    job = await path.worker.desk.start(claim, UUID(claim.key))
    assert job is not None
    return claim, job


async def _everything(path: JobPath) -> list[list[asyncpg.Record]]:
    tables = ("jobs", "job_attempts", "llm_usage", "domain_events", "queue_messages")
    return [await path.db.fetch(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]


@ENDS
async def test_an_end_names_its_run(path: JobPath, end: End) -> None:
    """The claim is right, and the run is one that another worker has taken over."""
    await path.submit()
    _, stale = await _started(path)
    await path.jump(40)
    claim, _ = await _started(path)
    before = await _everything(path)
    with pytest.raises(ClaimLost):
        await end(path, claim, stale)
    assert await _everything(path) == before


@pytest.mark.parametrize("end", [complete, fail])
async def test_a_run_that_lost_its_lease_alone_ends_its_job(path: JobPath, end: End) -> None:
    """Nobody has begun anew: what was paid for counts, and who has the claim finds nothing."""
    job_id = await path.submit()
    claim, job = await _started(path)
    await path.jump(40)
    later = await path.claim()
    await end(path, claim, job)
    with pytest.raises(ClaimLost):
        await path.worker.desk.start(later, job_id)
    assert await path.count("job_attempts") == 1
    await path.assert_clean()


async def test_a_run_that_lost_its_lease_plans_nothing(path: JobPath) -> None:
    """Its work is in somebody's hands, who tries again at once."""
    await path.submit()
    claim, job = await _started(path)
    await path.jump(40)
    await path.claim()
    before = await _everything(path)
    with pytest.raises(ClaimLost):
        await retry(path, claim, job)
    assert await _everything(path) == before


async def test_a_stale_claim_begins_nothing(path: JobPath) -> None:
    job_id = await path.submit()
    stale = await path.claim()
    await path.jump(40)
    await path.claim()
    before = await _everything(path)
    with pytest.raises(ClaimLost):
        await path.worker.desk.start(stale, job_id)
    assert await _everything(path) == before


async def test_a_stale_claim_takes_no_job_from_whoever_does_it(path: JobPath) -> None:
    job_id = await path.submit()
    stale = await path.claim()
    await path.jump(40)
    claim, job = await _started(path)
    before = await _everything(path)
    with pytest.raises(ClaimLost):
        await path.worker.desk.start(stale, job_id)
    assert await _everything(path) == before
    await complete(path, claim, job)
    await path.assert_clean()


async def test_a_stopped_run_leaves_the_work_of_the_run_that_goes_on(path: JobPath) -> None:
    """The stale worker stops first, then the other one ends the job: its work must still be there.
    A row of the queue is deleted by its generation, whoever holds its lease."""
    job_id = await path.submit()
    claim, stale = await _started(path)
    await path.jump(40)
    later, job = await _started(path)
    before = await _everything(path)
    with pytest.raises(ClaimLost):
        await path.worker.desk.stopped(claim, stale, a_record())
    assert await _everything(path) == before
    await complete(path, later, job)
    assert await path.status(job_id) == "COMPLETED"
    await path.assert_clean()


async def test_what_a_cancelled_run_used_is_kept_once_also_when_its_work_is_gone(
    path: JobPath,
) -> None:
    job_id = await path.submit()
    claim, job = await _started(path)
    await path.cancel(job_id)
    await path.jump(40)
    assert await path.worker.desk.start(await path.claim(), job_id) is None
    for _ in range(2):
        await path.worker.desk.stopped(claim, job, a_record())
    assert await path.outcomes(job_id) == ["ok"]
    assert await path.usage() == (5, 7, 1)
    await path.assert_clean()


@ENDS
async def test_a_cancelled_job_has_no_other_end(path: JobPath, end: End) -> None:
    job_id = await path.submit()
    claim, job = await _started(path)
    await path.cancel(job_id)
    before = await _everything(path)
    with pytest.raises(ClaimLost):
        await end(path, claim, job)
    assert await _everything(path) == before


async def test_an_outdated_run_gives_nothing_back(path: JobPath) -> None:
    await path.submit()
    _, stale = await _started(path)
    await path.jump(40)
    await _started(path)
    before = await _everything(path)
    await path.worker.desk.release(stale, a_record())
    assert await _everything(path) == before


@ENDS
async def test_no_end_happens_twice(path: JobPath, end: End) -> None:
    await path.submit()
    claim, job = await _started(path)
    await end(path, claim, job)
    before = await _everything(path)
    with pytest.raises(ClaimLost):
        await end(path, claim, job)
    assert await _everything(path) == before


async def test_attempts_of_all_runs_are_numbered_on_and_summed(path: JobPath) -> None:
    job_id = await path.submit()
    claim, job = await _started(path)
    await path.worker.desk.retry(claim, job, a_record(2), delay=SECOND, counted=True, error="Away.")
    await path.jump(2)
    claim, job = await _started(path)
    await path.worker.desk.complete(claim, job, a_record(3), text="Baik.", agent_type="main")
    attempts = await path.attempts(job_id)
    assert [(row["number"], row["run"]) for row in attempts] == [
        (1, 1), (2, 1), (3, 2), (4, 2), (5, 2),
    ]  # fmt: skip
    found = await path.job(job_id)
    assert (found["tokens_in"], found["tokens_out"], found["cost_nanos"]) == (15, 10, 35)
    assert await path.usage() == (25, 35, 5)
    assert json.loads(found["moderation"]) == {"verdict": "allowed"}
    await path.assert_clean()


async def test_who_is_outdated_is_known_by_the_run(path: JobPath) -> None:
    ids = [await path.submit() for _ in range(3)]
    jobs = [(await _started(path))[1] for _ in ids]
    runs = {Run(job.id, job.run) for job in jobs}
    assert await path.worker.desk.outdated(runs) == set()
    await path.cancel(ids[0])
    assert await path.worker.desk.outdated(runs) == {Run(ids[0], 1)}
    assert await path.worker.desk.outdated({Run(ids[1], 1), Run(ids[1], 2)}) == {Run(ids[1], 2)}
    await path.db.execute("DELETE FROM job_attempts; DELETE FROM jobs")
    assert await path.worker.desk.outdated(runs) == runs


async def test_another_tenants_job_is_nobodys(path: JobPath) -> None:
    """The work of one tenant names the job of another: nothing is begun."""
    job_id = await path.submit()
    other = await rows.a_tenant(path.db)
    await path.db.execute("UPDATE queue_messages SET tenant_id = $1", other)
    claim = await path.claim()
    assert await path.worker.desk.start(claim, job_id) is None
    assert await path.status(job_id) == "QUEUED"


@ENDS
async def test_whoever_asked_to_be_called_back_is_called_when_it_has_ended(
    path: JobPath, end: End
) -> None:
    job_id = await path.submit(callback_url="https://x.test/hook")
    claim, job = await _started(path)
    await end(path, claim, job)
    planned = await path.db.fetch(
        "SELECT kind, key, payload FROM queue_messages WHERE queue = 'crm_tasks'"
    )
    wanted = [] if end is retry else [("webhook.deliver", f"job:{job_id}", {"job_id": str(job_id)})]
    assert [(row["kind"], row["key"], json.loads(row["payload"])) for row in planned] == wanted


# -- events: written in SQL here, recorded by the gateway's aggregate elsewhere --------------------


async def _told(path: JobPath, name: str) -> tuple[dict[str, Any], int]:
    [row] = await path.db.fetch("SELECT body, version FROM domain_events WHERE name = $1", name)
    return json.loads(row["body"]), row["version"]


def _same(told: dict[str, Any], event: DomainEvent) -> bool:
    """The same keys and values; a time may be written with fewer digits."""
    body = event.body()
    moment = body.pop("next_retry_at", None)
    if moment is not None:
        assert datetime.fromisoformat(told.pop("next_retry_at")) == datetime.fromisoformat(moment)
    return told == body


@ENDS
async def test_what_the_workers_tell_are_the_gateways_events(path: JobPath, end: End) -> None:
    job_id = await path.submit()
    claim, job = await _started(path)
    await end(path, claim, job)
    found = await path.job(job_id)
    common: dict[str, Any] = {
        "tenant_id": path.tenant,
        "occurred_at": found["updated_at"],
        "job_id": JobId.of(job_id),
    }
    event: DomainEvent
    if end is complete:
        event = JobCompleted(**common, agent_type="main")
    elif end is fail:
        event = JobFailed(**common, error_code="x")
    else:
        event = JobRetrying(**common, retry_count=1, next_retry_at=found["next_retry_at"])
    told, version = await _told(path, event.name)
    assert version == event.version
    assert _same(told, event)


# -- what a tenant has, remembered -----------------------------------------------------------------


async def test_a_changed_configuration_is_used_within_five_seconds(path: JobPath) -> None:
    first = await path.submit()
    await path.settle()
    await path.db.execute("UPDATE llm_configs SET model = 'newer' WHERE name = $1", path.model)
    path.waits.now += 5
    second = await path.submit()
    await path.settle()
    assert [request.body["model"] for request in path.llm.requests] == [path.model, "newer"]
    assert {await path.status(first), await path.status(second)} == {"COMPLETED"}


async def test_what_a_tenant_has_is_read_once_for_many_jobs(
    path: JobPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    read = SqlSetups._read

    async def counted(self: SqlSetups, tenant_id: Any) -> Any:
        reads.append(tenant_id)
        return await read(self, tenant_id)

    monkeypatch.setattr(SqlSetups, "_read", counted)
    for _ in range(3):
        await path.submit()
        await path.settle()
    assert reads == [path.tenant]


async def test_each_tenant_has_its_own(path: JobPath) -> None:
    """A configuration of one tenant is not there for another."""
    other = await rows.a_tenant(path.db)
    job_id = await path.submit(tenant=other)
    await path.settle()
    job = await path.job(job_id)
    assert (job["status"], job["error_code"]) == ("FAILED", "llm_config_not_found")
    assert path.llm.requests == []
