"""Jobs in SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, func, insert, literal, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from gateway.domain.entities.job import Job, JobNotFound, Pipeline
from gateway.domain.repositories.job_repository import (
    BatchNotFound,
    JobAttempt,
    JobBatch,
    JobChangedMeanwhile,
    JobFilter,
)
from gateway.domain.value_objects.job_id import JobId
from gateway.domain.value_objects.job_status import JobStatus
from gateway.domain.value_objects.prompt import Prompt
from shared.kernel.ids import TenantId
from shared.persistence.metadata import NOW
from shared.persistence.tables import job_attempts, job_batches, jobs
from shared.persistence.unit_of_work import Transaction

# One statement for one job and for a thousand; the moments are the database's, once for all.
_CREATE = text(
    """
    WITH clock AS MATERIALIZED (SELECT platform_now() AS now)
    INSERT INTO jobs (tenant_id, id, prompt, config_name, template_name, pipeline, context,
                      variables, needs_moderation, stream, priority, metadata, callback_url,
                      retry_of, batch_id, max_retries, created_at, updated_at, deadline_at)
    SELECT :tenant, j.id, j.prompt, j.config_name, j.template_name, j.pipeline, j.context,
           j.variables, j.needs_moderation, j.stream, j.priority, j.metadata, j.callback_url,
           j.retry_of, j.batch_id, j.max_retries, clock.now, clock.now,
           clock.now + make_interval(secs => j.deadline)
    FROM clock, jsonb_to_recordset(:jobs) AS j (
        id uuid, prompt text, config_name text, template_name text, pipeline text, context jsonb,
        variables jsonb, needs_moderation boolean, stream boolean, priority smallint,
        metadata jsonb, callback_url text, retry_of uuid, batch_id uuid, max_retries integer,
        deadline double precision)
    RETURNING created_at
    """
).bindparams(bindparam("jobs", type_=JSONB), bindparam("tenant", type_=PG_UUID))


class SqlJobRepository:
    """Keeps the promises of `JobRepository` inside one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._stood: dict[JobId, tuple[JobStatus, int]] = {}
        """State and run of what was read or written here, which `save` compares."""

    @property
    def tenant_id(self) -> TenantId:
        return self._tx.tenant_id

    async def create(self, *new: Job) -> None:
        values = {"tenant": self.tenant_id, "jobs": [_inserted(job) for job in new]}
        created: datetime = (
            (await self._tx.connection.execute(_CREATE, values)).scalars().unique().one()
        )
        for job in new:
            job.deadline_at += created - job.created_at
            job.created_at = job.updated_at = created
            self._keep(job)
            self._tx.record(*job.pull_events())

    async def create_batch(
        self, batch_id: UUID, *, total: int, metadata: Mapping[str, Any]
    ) -> None:
        row = {"tenant_id": self.tenant_id, "id": batch_id, "total": total, "metadata": metadata}
        await self._tx.connection.execute(insert(job_batches).values(row))

    async def find(self, job_id: JobId) -> Job | None:
        return await self._one(job_id)

    async def get(self, job_id: JobId) -> Job:
        return _there(await self._one(job_id))

    async def get_for_change(self, job_id: JobId) -> Job:
        return _there(await self._one(job_id, lock=True))

    async def list(
        self, which: JobFilter, *, limit: int, after: tuple[datetime, JobId] | None = None
    ) -> Sequence[Job]:
        place = tuple_(jobs.c.created_at, jobs.c.id)
        wanted = _conditions(which)
        if after is not None:
            wanted.append(place < tuple_(literal(after[0]), literal(after[1])))
        found = await self._tx.connection.execute(
            select(jobs)
            .where(jobs.c.tenant_id == self.tenant_id, *wanted)
            .order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
            .limit(limit)
        )
        return [self._load(row) for row in found.mappings()]

    async def list_attempts(
        self, job_id: JobId, *, limit: int, after: int = 0
    ) -> Sequence[JobAttempt]:
        found = await self._tx.connection.execute(
            select(*(job_attempts.c[each.name] for each in fields(JobAttempt)))
            .where(
                job_attempts.c.tenant_id == self.tenant_id,
                job_attempts.c.job_id == job_id,
                job_attempts.c.number > after,
            )
            .order_by(job_attempts.c.number)
            .limit(limit)
        )
        return [JobAttempt(**row) for row in found.mappings()]

    async def save(self, job: Job) -> None:
        status, run = self._stood[job.id]
        ended = {"finished_at": NOW} if job.status.is_final and not status.is_final else {}
        written = await self._tx.connection.execute(
            update(jobs)
            .where(
                jobs.c.tenant_id == self.tenant_id,
                jobs.c.id == job.id,
                jobs.c.status == status,
                jobs.c.run == run,
            )
            .values(**_changing(job), **ended, updated_at=NOW)
            .returning(jobs.c.updated_at, jobs.c.finished_at)
        )
        moments = written.one_or_none()
        if moments is None:
            raise JobChangedMeanwhile
        job.updated_at, job.finished_at = moments
        self._keep(job)
        self._tx.record(*job.pull_events())

    async def get_batch(self, batch_id: UUID) -> JobBatch:
        mine = (job_batches.c.tenant_id == self.tenant_id) & (job_batches.c.id == batch_id)
        batch = (await self._tx.connection.execute(select(job_batches).where(mine))).one_or_none()
        if batch is None:
            raise BatchNotFound
        counted = await self._tx.connection.execute(
            select(jobs.c.status, func.count())
            .where(jobs.c.tenant_id == self.tenant_id, jobs.c.batch_id == batch_id)
            .group_by(jobs.c.status)
            .order_by(jobs.c.status)
        )
        return JobBatch(
            id=UUID(str(batch.id)),
            total=batch.total,
            metadata=batch.metadata,
            created_at=batch.created_at,
            counts={JobStatus(status): count for status, count in counted},
        )

    async def _one(self, job_id: JobId, *, lock: bool = False) -> Job | None:
        query = select(jobs).where(jobs.c.tenant_id == self.tenant_id, jobs.c.id == job_id)
        if lock:
            query = query.with_for_update(key_share=True)
        row = (await self._tx.connection.execute(query)).mappings().one_or_none()
        return None if row is None else self._load(row)

    def _load(self, row: Mapping[Any, Any]) -> Job:
        job = _to_job(row)
        self._keep(job)
        return job

    def _keep(self, job: Job) -> None:
        self._stood[job.id] = (job.status, job.run)


def _there(job: Job | None) -> Job:
    if job is None:
        raise JobNotFound
    return job


def _conditions(which: JobFilter) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if which.statuses:
        wanted.append(jobs.c.status.in_(sorted(which.statuses)))
    if which.config_name is not None:
        wanted.append(jobs.c.config_name == which.config_name)
    if which.created_from is not None:
        wanted.append(jobs.c.created_at >= which.created_from)
    if which.created_before is not None:
        wanted.append(jobs.c.created_at < which.created_before)
    if which.metadata:
        wanted.append(jobs.c.metadata.contains(dict(which.metadata)))
    if which.batch_id is not None:
        wanted.append(jobs.c.batch_id == which.batch_id)
    return wanted


def _inserted(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "prompt": job.prompt.content,
        "config_name": job.config_name,
        "template_name": job.template_name,
        "pipeline": job.pipeline,
        "context": job.context,
        "variables": job.variables,
        "needs_moderation": job.needs_moderation,
        "stream": job.stream,
        "priority": job.priority,
        "metadata": job.metadata,
        "callback_url": job.callback_url,
        "retry_of": job.retry_of,
        "batch_id": job.batch_id,
        "max_retries": job.max_retries,
        "deadline": (job.deadline_at - job.created_at).total_seconds(),
    }


def _changing(job: Job) -> dict[str, Any]:
    return {
        "status": job.status,
        "run": job.run,
        "result": job.result,
        "agent_type": job.agent_type,
        "moderation": job.moderation,
        "template_version": job.template_version,
        "error": job.error,
        "error_code": job.error_code,
        "tokens_in": job.tokens_in,
        "tokens_out": job.tokens_out,
        "cost_nanos": job.cost_nanos,
        "retry_count": job.retry_count,
        "next_retry_at": job.next_retry_at,
        "started_at": job.started_at,
    }


def _to_job(row: Mapping[Any, Any]) -> Job:
    return Job(
        id=JobId.of(row["id"]),
        tenant_id=TenantId(row["tenant_id"]),
        prompt=Prompt(row["prompt"]),
        config_name=row["config_name"],
        template_name=row["template_name"],
        created_at=row["created_at"],
        deadline_at=row["deadline_at"],
        updated_at=row["updated_at"],
        pipeline=Pipeline(row["pipeline"]),
        context=row["context"],
        variables=row["variables"],
        needs_moderation=row["needs_moderation"],
        stream=row["stream"],
        priority=row["priority"],
        metadata=row["metadata"],
        callback_url=row["callback_url"],
        retry_of=None if row["retry_of"] is None else JobId.of(row["retry_of"]),
        batch_id=None if row["batch_id"] is None else UUID(str(row["batch_id"])),
        status=JobStatus(row["status"]),
        run=row["run"],
        result=row["result"],
        agent_type=row["agent_type"],
        moderation=row["moderation"],
        template_version=row["template_version"],
        error=row["error"],
        error_code=row["error_code"],
        tokens_in=row["tokens_in"],
        tokens_out=row["tokens_out"],
        cost_nanos=row["cost_nanos"],
        retry_count=row["retry_count"],
        max_retries=row["max_retries"],
        next_retry_at=row["next_retry_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )
