"""Jobs for the LLM workers: accepted, looked at, cancelled and done again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from commerce_agent.application.queries.page import (
    Page,
    checked_limit,
    decode_cursor,
    encode_cursor,
    page_of,
)
from gateway.application.dto.job_dto import BatchDTO, JobDTO, JobStatusDTO
from gateway.application.ports.cache_client import CacheClient
from gateway.application.ports.message_publisher import MessagePublisher
from gateway.domain.entities.job import DEFAULT_MAX_RETRIES, InvalidJob, Job
from gateway.domain.repositories.job_repository import JobAttempt, JobFilter, JobRepository
from gateway.domain.value_objects.job_id import JobId
from gateway.domain.value_objects.job_status import JobStatus
from gateway.domain.value_objects.plain_json import checked_object
from gateway.domain.value_objects.prompt import Prompt
from llm_worker.domain.repositories.llm_budget_repository import LLMBudgetRepository
from shared.kernel.clock import Clock, utc_now
from shared.kernel.errors import Invalid
from shared.kernel.ids import new_id

LARGEST_BATCH = 1000
_METADATA_SIZE = 10_000


class InvalidBatch(Invalid):
    """A batch has 1 to 1000 jobs, and every one of them can be accepted."""

    code = "invalid_job_batch"


class InvalidMoment(Invalid):
    """A moment has a zone and lies in the years 1 to 9999. ``data['field']`` names it."""

    code = "invalid_moment"


class JobService:
    """Works over one open unit of work, which whoever opened it commits: nothing that a method
    did is there before, and all of it is there together."""

    def __init__(
        self,
        job_repository: JobRepository,
        message_publisher: MessagePublisher,
        cache_client: CacheClient,
        budget: LLMBudgetRepository,
        *,
        default_max_retries: int = DEFAULT_MAX_RETRIES,
        now: Clock = utc_now,
    ) -> None:
        self._job_repository = job_repository
        self._message_publisher = message_publisher
        self._cache_client = cache_client
        self._budget = budget
        self._default_max_retries = default_max_retries
        self._now = now

    async def submit_job(self, dto: JobDTO) -> JobStatusDTO:
        """Accept a job and give it to the workers.

        Raises:
            InvalidPrompt, InvalidJob, InvalidData: it cannot be accepted as it stands.
            LLMBudgetSpent: the tenant has spent its day's budget, and wants to be refused then.
        """
        return await self._enter(self._job(dto))

    async def get_job(self, job_id: JobId) -> JobStatusDTO:
        """How it stands. Raises `JobNotFound`."""
        remembered = await self._cache_client.get(job_id)
        if remembered is not None:
            return remembered
        status = JobStatusDTO.of(await self._job_repository.get(job_id))
        if status.status.is_final:
            await self._cache_client.set(status)
        return status

    async def list_jobs(
        self, which: JobFilter, *, limit: int = 50, cursor: str | None = None
    ) -> Page[JobStatusDTO]:
        """The newest first. Raises `BadLimit`, `BadCursor`, `InvalidData`, `InvalidMoment`."""
        limit = checked_limit(limit)
        checked_object(which.metadata, field="metadata", longest=_METADATA_SIZE)
        for field, moment in (
            ("created_from", which.created_from),
            ("created_before", which.created_before),
        ):
            if moment is not None and not _is_storable(moment):
                raise InvalidMoment(field=field)
        after = None if cursor is None else _place(cursor)
        jobs = await self._job_repository.list(which, limit=limit + 1, after=after)
        return page_of([JobStatusDTO.of(job) for job in jobs], limit, _cursor_of)

    async def cancel_job(self, job_id: JobId) -> JobStatusDTO:
        """Stop a job that has not ended, also one that a worker is doing: its run becomes void.

        Cancelling what is cancelled changes nothing.

        Raises:
            JobNotFound: there is none.
            IllegalJobTransition: it has completed or failed.
        """
        job = await self._job_repository.get_for_change(job_id)
        if job.status is JobStatus.CANCELLED:
            return JobStatusDTO.of(job)
        job.cancel(at=self._now())
        await self._job_repository.save(job)
        if job.callback_url is not None:
            await self._message_publisher.publish_callback(job.id)
        status = JobStatusDTO.of(job)
        await self._cache_client.publish(status)
        return status

    async def list_attempts(
        self, job_id: JobId, *, limit: int = 50, cursor: str | None = None
    ) -> Page[JobAttempt]:
        """The calls of models for a job, the first first.

        Raises:
            JobNotFound: there is none.
            BadLimit, BadCursor: there is no such page.
        """
        limit = checked_limit(limit)
        after = 0 if cursor is None else decode_cursor(cursor, number=_number)["number"]
        await self._job_repository.get(job_id)
        found = await self._job_repository.list_attempts(job_id, limit=limit + 1, after=after)
        return page_of(found, limit, lambda attempt: encode_cursor(number=attempt.number))

    async def retry_job(self, job_id: JobId) -> JobStatusDTO:
        """Do a job that has ended again, as a new one that names it in ``retry_of``.

        Raises:
            JobNotFound: there is none.
            JobNotFinished: it is still going on.
            LLMBudgetSpent: as `submit_job`.
        """
        return await self._enter((await self._job_repository.get(job_id)).again(at=self._now()))

    async def submit_batch(
        self, dtos: Sequence[JobDTO], metadata: Mapping[str, Any] | None = None
    ) -> BatchDTO:
        """Accept up to 1000 jobs, all or none.

        Raises:
            InvalidBatch: too many or none, or one cannot be accepted: ``data`` has its ``index``
                and the ``reason``, the code of its own error.
            InvalidData: the batch's metadata are too large or no plain JSON.
            LLMBudgetSpent: as `submit_job`.
        """
        if not 1 <= len(dtos) <= LARGEST_BATCH:
            raise InvalidBatch
        about = checked_object(metadata or {}, field="metadata", longest=_METADATA_SIZE)
        batch_id = new_id()
        jobs = [self._job_of_batch(dto, index, batch_id) for index, dto in enumerate(dtos)]
        await self._budget.check()
        await self._job_repository.create_batch(batch_id, total=len(jobs), metadata=about)
        await self._job_repository.create(*jobs)
        for job in jobs:
            await self._message_publisher.publish_task(job.id, priority=job.priority)
        return replace(await self.get_batch(batch_id), job_ids=tuple(job.id for job in jobs))

    async def get_batch(self, batch_id: UUID) -> BatchDTO:
        """How far its jobs are. Raises `BatchNotFound`."""
        batch = await self._job_repository.get_batch(batch_id)
        return BatchDTO(
            batch_id=batch.id,
            total=batch.total,
            finished=batch.finished,
            counts=batch.counts,
            metadata=batch.metadata,
            created_at=batch.created_at,
        )

    async def _enter(self, job: Job) -> JobStatusDTO:
        await self._budget.check()
        await self._job_repository.create(job)
        await self._message_publisher.publish_task(job.id, priority=job.priority)
        return JobStatusDTO.of(job)

    def _job_of_batch(self, dto: JobDTO, index: int, batch_id: UUID) -> Job:
        try:
            return self._job(dto, batch_id)
        except Invalid as error:
            raise InvalidBatch(
                f"job {index}: {error.detail}", index=index, reason=error.code
            ) from error

    def _job(self, dto: JobDTO, batch_id: UUID | None = None) -> Job:
        return Job.create(
            tenant_id=self._job_repository.tenant_id,
            prompt=Prompt(dto.prompt),
            config_name=dto.config_name,
            template_name=dto.template_name,
            at=self._now(),
            pipeline=dto.pipeline,
            context=dto.context,
            variables=dto.variables,
            needs_moderation=dto.needs_moderation,
            priority=dto.priority,
            metadata=dto.metadata,
            stream=dto.stream,
            callback_url=dto.callback_url,
            max_retries=(self._default_max_retries if dto.max_retries is None else dto.max_retries),
            deadline=_deadline(dto.deadline_seconds),
            batch_id=batch_id,
        )


def _deadline(seconds: float) -> timedelta:
    try:
        return timedelta(seconds=seconds)
    except (OverflowError, ValueError) as error:  # beyond what a clock can count, or no number
        raise InvalidJob(
            "deadline_seconds is no length of time", field="deadline_seconds"
        ) from error


def _number(written: str) -> int:
    number = int(written)
    if not 0 <= number < 2**31:
        raise ValueError("no number of ours")
    return number


def _cursor_of(job: JobStatusDTO) -> str:
    return encode_cursor(at=job.created_at.isoformat(), id=job.job_id)


def _place(cursor: str) -> tuple[datetime, JobId]:
    place = decode_cursor(cursor, at=_moment, id=JobId)
    return place["at"], place["id"]


def _moment(written: str) -> datetime:
    moment = datetime.fromisoformat(written)
    if not _is_storable(moment):
        raise ValueError("no moment of ours")
    return moment


def _is_storable(moment: datetime) -> bool:
    """Whether it has a zone and the database a year for it."""
    try:
        return moment.tzinfo is not None and moment.astimezone(UTC) == moment
    except OverflowError:
        return False
