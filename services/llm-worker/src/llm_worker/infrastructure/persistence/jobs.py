"""Every statement by which a worker moves a job.

Each is fenced: it holds only where the run that it belongs to still stands, and the graph of states
is held once more by a trigger.
"""

from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import BigInteger, Integer, Row, Text, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from llm_worker.application.dto.processing_dto import Attempt, RunRecord
from llm_worker.application.ports.jobs import Run, RunningJob
from shared.jobs import callback_task, run_task
from shared.kernel.ids import TenantId, new_id
from shared.messaging.port import Claim, ClaimLost, Finish, Postpone
from shared.persistence.database import Database, SystemRole, system_transaction
from shared.persistence.unit_of_work import Transaction

log = structlog.get_logger()

_FULL = timedelta(seconds=1)
"""When to look again whether one of the tenant's jobs has ended."""

_TAKEN = """
    UPDATE jobs SET status = 'PROCESSING', run = run + 1, error = NULL, next_retry_at = NULL,
        started_at = coalesce(started_at, platform_now()), updated_at = platform_now()
    WHERE id = :job AND status = 'QUEUED' AND deadline_at > platform_now()
"""
_GIVEN = """
    RETURNING id, run, prompt, config_name, template_name, pipeline, context, variables,
              needs_moderation, stream, priority, retry_count, max_retries,
              deadline_at - platform_now() AS remaining
"""
_HELD = "EXISTS (SELECT FROM queue_messages q WHERE q.id = :claim AND q.lease_id = :lease)"
"""A worker that slept past its lease takes no job from the one that has its claim now."""
_TAKE_FREELY = text(
    f"{_TAKEN} AND {_HELD}"
    f" AND NOT EXISTS (SELECT FROM llm_budgets b WHERE b.tenant_id = jobs.tenant_id) {_GIVEN}"
).columns(context=JSONB, variables=JSONB)
"""The common case in one statement: the job waits, and its tenant has no limits."""
_TAKE = text(f"{_TAKEN} {_GIVEN}").columns(context=JSONB, variables=JSONB)

_LOOK = text(
    f"""
    SELECT j.status, j.run, j.config_name, j.started_at, j.deadline_at <= platform_now() AS is_late,
           j.deadline_at - platform_now() AS remaining,
           b.concurrency, b.over_budget,
           coalesce(u.tokens >= b.tokens_per_day OR u.cost_nanos >= b.cost_nanos_per_day
                    OR 0 >= b.tokens_per_day OR 0 >= b.cost_nanos_per_day, false) AS is_spent,
           {_HELD} AS held,
           (date_trunc('day', local.now) + interval '1 day') - local.now AS until_tomorrow,
           (SELECT count(*) FROM jobs p WHERE p.tenant_id = j.tenant_id
            AND p.status = 'PROCESSING' AND p.id <> j.id) AS processing
    FROM jobs j
    JOIN tenants t ON t.id = j.tenant_id
    CROSS JOIN LATERAL (SELECT platform_now() AT TIME ZONE t.timezone AS now) local
    LEFT JOIN llm_budgets b ON b.tenant_id = j.tenant_id
    LEFT JOIN llm_usage u ON u.tenant_id = j.tenant_id AND u.day = CAST(local.now AS date)
    WHERE j.id = :job
    FOR UPDATE OF j
    """  # noqa: S608 - constants
)
_ONE_TAKER = text("SELECT pg_advisory_xact_lock(hashtext('jobs of'), hashtext(:tenant))")
"""Where a tenant has a limit of concurrent jobs, its jobs are taken one after the other."""
_REQUEUE = text(
    "UPDATE jobs SET status = 'QUEUED', next_retry_at = NULL, updated_at = platform_now()"
    " WHERE id = :job"
)
_INTERRUPTED = text(
    """
    INSERT INTO job_attempts (tenant_id, id, job_id, run, number, agent, config_name, model,
                              started_at, milliseconds, outcome, error)
    SELECT j.tenant_id, :attempt, j.id, j.run,
           (SELECT count(*) + 1 FROM job_attempts a WHERE a.job_id = j.id),
           'main', j.config_name, '', j.updated_at, 0, 'interrupted',
           'The worker stopped; what it had called is not known'
    FROM jobs j WHERE j.id = :job
    """
)
"""What a run that ended without a word leaves behind: nobody knows what it called."""

_STILL_OURS = "id = :job AND status = 'PROCESSING' AND run = :run"
_USED = """
    tokens_in = tokens_in + :tokens_in, tokens_out = tokens_out + :tokens_out,
    cost_nanos = cost_nanos + :cost_nanos, updated_at = platform_now(),
    moderation = coalesce(:moderation, moderation),
    template_version = coalesce(:template_version, template_version)
"""


_TYPES: dict[str, Any] = {
    "job": PG_UUID,
    "event_id": PG_UUID,
    "attempts": JSONB,
    "moderation": JSONB(none_as_null=True),
    "template_version": Integer,
    "counted": Integer,
    **dict.fromkeys(("run", "tokens_in", "tokens_out", "cost_nanos", "calls"), BigInteger),
    **dict.fromkeys(("event", "agent_type", "error_code", "error", "result"), Text),
}


def _ending(change: str, where: str = _STILL_OURS) -> Any:
    """A change of the job together with the attempts and the use of the run that ends with it."""
    statement = text(
        f"""
        WITH ended AS (
            UPDATE jobs SET {change}{_USED} WHERE {where}
            RETURNING tenant_id, id, run, callback_url, next_retry_at, retry_count
        ), kept AS (
            INSERT INTO job_attempts (tenant_id, id, job_id, run, number, agent, config_name,
                                      model, started_at, milliseconds, tokens_in, tokens_out,
                                      cost_nanos, outcome, error)
            SELECT e.tenant_id, a.id, e.id, :run,
                   (SELECT count(*) FROM job_attempts b WHERE b.job_id = e.id) + a.number,
                   a.agent, a.config_name, a.model, a.started_at, a.milliseconds, a.tokens_in,
                   a.tokens_out, a.cost_nanos, a.outcome, a.error
            FROM ended e CROSS JOIN jsonb_to_recordset(:attempts) AS a (
                id uuid, number integer, agent text, config_name text, model text,
                started_at timestamptz, milliseconds integer, tokens_in bigint,
                tokens_out bigint, cost_nanos bigint, outcome text, error text)
        ), counted AS (
            INSERT INTO llm_usage AS u (tenant_id, day, tokens, cost_nanos, calls)
            SELECT e.tenant_id, CAST(platform_now() AT TIME ZONE t.timezone AS date),
                   :tokens_in + :tokens_out, :cost_nanos, :calls
            FROM ended e JOIN tenants t ON t.id = e.tenant_id WHERE :calls > 0
            ON CONFLICT (tenant_id, day) DO UPDATE
            SET tokens = u.tokens + excluded.tokens, calls = u.calls + excluded.calls,
                cost_nanos = u.cost_nanos + excluded.cost_nanos
        ), told AS (
            INSERT INTO domain_events (id, tenant_id, name, version, body, occurred_at)
            SELECT :event_id, e.tenant_id, :event, 1,
                   jsonb_strip_nulls(jsonb_build_object(
                       'job_id', e.id, 'agent_type', CAST(:agent_type AS text),
                       'error_code', CAST(:error_code AS text), 'next_retry_at', e.next_retry_at,
                       'retry_count', CASE WHEN e.next_retry_at IS NOT NULL THEN e.retry_count END
                   )), platform_now()
            FROM ended e WHERE CAST(:event AS text) IS NOT NULL
        )
        SELECT callback_url, next_retry_at FROM ended
        """  # noqa: S608 - constants
    )
    # what stands in several places needs one type
    named = statement.compile().params
    return statement.bindparams(
        *(bindparam(name, type_=kind) for name, kind in _TYPES.items() if name in named)
    )


_COMPLETE = _ending(
    """
    status = 'COMPLETED', result = :result, agent_type = :agent_type, error = NULL,
    finished_at = platform_now(),
    """
)
_FAILED = "status = 'FAILED', error_code = :error_code, error = :error, next_retry_at = NULL,"
_FAIL = _ending(f"{_FAILED} finished_at = platform_now(), ")
_FAIL_UNSTARTED = _ending(
    f"{_FAILED} finished_at = platform_now(), ",
    "id = :job AND status IN ('QUEUED', 'PROCESSING', 'RETRYING')",
)
_RETRY = _ending(
    """
    status = 'RETRYING', error = :error, next_retry_at = platform_now() + :delay,
    retry_count = retry_count + :counted,
    """
)
_RELEASE = _ending("status = 'QUEUED',")
_STOPPED = _ending(
    "",
    """
    id = :job AND status = 'CANCELLED' AND run = :run
    AND NOT EXISTS (SELECT FROM job_attempts a WHERE a.job_id = jobs.id AND a.run = :run)
    """,
)
"""Where the run's attempts are there already this is done for the second time."""
_IS_OPEN = text(
    "SELECT EXISTS (SELECT FROM jobs WHERE id = :job"
    " AND status IN ('QUEUED', 'PROCESSING', 'RETRYING'))"
)
_OUTDATED = text(
    """
    SELECT mine.id, mine.run
    FROM unnest(CAST(:ids AS uuid[]), CAST(:runs AS bigint[])) AS mine (id, run)
    LEFT JOIN jobs j ON j.id = mine.id AND j.run = mine.run AND j.status = 'PROCESSING'
    WHERE j.id IS NULL
    """
)


class SqlJobDesk:
    """Keeps the promises of `JobDesk`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(self, claim: Claim, job_id: UUID) -> RunningJob | None:
        async with Transaction(self._database, claim.tenant_id) as tx:
            held = {"job": job_id, "claim": claim.id, "lease": claim.lease_id}
            taken = (await tx.connection.execute(_TAKE_FREELY, held)).one_or_none()
            if taken is not None:
                await tx.commit()
                return _running(claim.tenant_id, taken)
            return await self._start_with_care(tx, claim, job_id)

    async def _start_with_care(
        self, tx: Transaction, claim: Claim, job_id: UUID
    ) -> RunningJob | None:
        """The job has a history, or its tenant limits."""
        about = {"job": job_id}
        await tx.connection.execute(_ONE_TAKER, {"tenant": str(claim.tenant_id)})
        held = about | {"claim": claim.id, "lease": claim.lease_id}
        seen = (await tx.connection.execute(_LOOK, held)).one_or_none()
        if seen is None or seen.status in ("COMPLETED", "FAILED", "CANCELLED"):
            await _finish(tx, claim)
            return None
        if not seen.held:
            raise ClaimLost  # the job is in other hands, or will be
        if seen.status == "PROCESSING":  # by somebody whose lease has run out
            await tx.connection.execute(_INTERRUPTED, about | {"attempt": new_id()})
        if seen.is_late:
            await self._refuse(tx, claim, job_id, "job_deadline_exceeded", "The deadline passed")
            return None
        if seen.is_spent and seen.over_budget == "refuse":
            await self._refuse(tx, claim, job_id, "llm_budget_spent", "The day's budget is spent")
            return None
        if seen.status != "QUEUED":
            await tx.connection.execute(_REQUEUE, about)
        wait = _wait(seen)
        if wait is not None:
            await tx.commit()
            raise Postpone(wait)
        taken = (await tx.connection.execute(_TAKE, about)).one()
        await tx.commit()
        return _running(claim.tenant_id, taken)

    async def complete(
        self, claim: Claim, job: RunningJob, record: RunRecord, *, text: str, agent_type: str
    ) -> None:
        async with Transaction(self._database, job.tenant_id) as tx:
            changes = {"result": text, "agent_type": agent_type, "event": "job.completed"}
            await _end(tx, _COMPLETE, _run_values(job, record) | changes, claim)

    async def fail(
        self, claim: Claim, job: RunningJob, record: RunRecord, *, code: str, error: str
    ) -> None:
        async with Transaction(self._database, job.tenant_id) as tx:
            changes = {"error_code": code, "error": error, "event": "job.failed"}
            await _end(tx, _FAIL, _run_values(job, record) | changes, claim)

    async def retry(
        self,
        claim: Claim,
        job: RunningJob,
        record: RunRecord,
        *,
        delay: timedelta,
        counted: bool,
        error: str,
    ) -> None:
        async with Transaction(self._database, job.tenant_id) as tx:
            changes = {
                "delay": delay,
                "counted": int(counted),
                "error": error,
                "event": "job.retrying",
            }
            ended = await tx.connection.execute(_RETRY, _run_values(job, record) | changes)
            if ended.one_or_none() is None:
                raise ClaimLost
            # the same row again: its generation rises, so that finishing leaves it planned
            await tx.enqueue(run_task(job.id, priority=job.priority, delay=delay))
            tx.finish_with_commit(claim)
            await tx.commit()
        log.info(
            "scheduling_retry",
            job_id=str(job.id),
            tenant_id=str(job.tenant_id),
            delay_seconds=delay.total_seconds(),
            retry_count=job.retry_count + int(counted),
        )

    async def stopped(self, claim: Claim, job: RunningJob, record: RunRecord) -> None:
        async with Transaction(self._database, job.tenant_id) as tx:
            await tx.connection.execute(_STOPPED, _run_values(job, record))
            if (await tx.connection.execute(_IS_OPEN, {"job": job.id})).scalar_one():
                raise ClaimLost  # another run does it, and its work is that run's to finish
            await tx.finish(claim)
            await tx.commit()

    async def release(self, job: RunningJob, record: RunRecord) -> None:
        async with Transaction(self._database, job.tenant_id) as tx:
            await tx.connection.execute(_RELEASE, _run_values(job, record))
            await tx.commit()

    async def outdated(self, runs: Collection[Run]) -> set[Run]:
        asked = {"ids": [run.job_id for run in runs], "runs": [run.number for run in runs]}
        async with system_transaction(self._database, SystemRole.SWEEPER) as connection:
            return {Run(*row) for row in await connection.execute(_OUTDATED, asked)}

    @staticmethod
    async def give_up(tx: Transaction, claim: Claim, code: str) -> None:
        """What follows when the work is made a dead letter: its job has failed."""
        with suppress(ValueError):  # no job's key: nothing follows
            await _fail_unstarted(tx, UUID(claim.key), code, "The job could not be done")

    async def _refuse(
        self, tx: Transaction, claim: Claim, job_id: UUID, code: str, error: str
    ) -> None:
        await _fail_unstarted(tx, job_id, code, error)
        await _finish(tx, claim)


async def _fail_unstarted(tx: Transaction, job_id: UUID, code: str, error: str) -> None:
    values = _NOTHING_USED | {"job": job_id, "run": 1, "event_id": new_id()}
    changes = {"error_code": code, "error": error, "event": "job.failed"}
    ended = (await tx.connection.execute(_FAIL_UNSTARTED, values | changes)).one_or_none()
    if ended is not None and ended.callback_url is not None:
        await tx.enqueue(callback_task(job_id))


async def _end(tx: Transaction, statement: Any, values: dict[str, Any], claim: Claim) -> None:
    ended = (await tx.connection.execute(statement, values)).one_or_none()
    if ended is None:
        raise ClaimLost  # cancelled, or done by somebody else: nothing of this run counts
    if ended.callback_url is not None:
        await tx.enqueue(callback_task(values["job"]))
    tx.finish_with_commit(claim)
    await tx.commit()


async def _finish(tx: Transaction, claim: Claim) -> None:
    if await tx.finish(claim) is Finish.LOST:
        raise ClaimLost
    await tx.commit()


def _wait(seen: Row[Any]) -> timedelta | None:
    """How long the job has to wait for a limit of its tenant, if for any."""
    if seen.is_spent:
        wait: timedelta = min(seen.until_tomorrow, seen.remaining)
        return wait
    if seen.concurrency is not None and seen.processing >= seen.concurrency:
        return _FULL
    return None


def _running(tenant_id: TenantId, row: Row[Any]) -> RunningJob:
    return RunningJob(
        id=row.id,
        tenant_id=tenant_id,
        run=row.run,
        prompt=row.prompt,
        config_name=row.config_name,
        template_name=row.template_name,
        is_multi=row.pipeline == "multi",
        context=row.context,
        variables=row.variables,
        needs_moderation=row.needs_moderation,
        stream=row.stream,
        priority=row.priority,
        retry_count=row.retry_count,
        max_retries=row.max_retries,
        left=row.remaining,
    )


_NOTHING_USED: dict[str, Any] = {
    "attempts": [],
    "tokens_in": 0,
    "tokens_out": 0,
    "cost_nanos": 0,
    "calls": 0,
    "moderation": None,
    "template_version": None,
    "agent_type": None,
    "error_code": None,
    "event": None,
}


def _run_values(job: RunningJob, record: RunRecord) -> dict[str, Any]:
    return _NOTHING_USED | {
        "job": job.id,
        "run": job.run,
        "attempts": [
            _attempt_row(number, attempt) for number, attempt in enumerate(record.attempts, start=1)
        ],
        "tokens_in": record.tokens_in,
        "tokens_out": record.tokens_out,
        "cost_nanos": record.cost_nanos,
        "calls": len(record.attempts),
        "moderation": None if record.moderation is None else dict(record.moderation),
        "template_version": record.template_version,
        "event_id": new_id(),
    }


def _attempt_row(number: int, attempt: Attempt) -> dict[str, Any]:
    return {
        "id": new_id(),
        "number": number,
        "agent": attempt.agent,
        "config_name": attempt.config_name,
        "model": attempt.model,
        "started_at": attempt.started_at,
        "milliseconds": attempt.milliseconds,
        "tokens_in": attempt.tokens_in,
        "tokens_out": attempt.tokens_out,
        "cost_nanos": attempt.cost_nanos,
        "outcome": attempt.outcome,
        "error": attempt.error,
    }
