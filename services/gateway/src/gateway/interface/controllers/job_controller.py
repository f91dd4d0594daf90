"""LLM jobs: submitted, watched, cancelled and done again."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BeforeValidator

from gateway.application.dto.job_dto import BatchDTO, JobStatusDTO
from gateway.application.services.job_watch import (
    JobWatch,
    News,
    StatusNews,
    TextReset,
)
from gateway.crm.dependencies import KeyFor, OpenJobs, Watching
from gateway.domain.entities.api_key import Scope
from gateway.domain.repositories.job_repository import JobFilter
from gateway.domain.value_objects.job_id import JobId
from gateway.domain.value_objects.job_status import JobStatus
from gateway.interface.errors import errors
from gateway.interface.http.api_route import ApiRoute
from gateway.interface.http.patience import while_connected
from gateway.interface.schemas.common import Cursor, Limit, PageOf, page_of, written_plainly
from gateway.interface.schemas.jobs import (
    AttemptAnswer,
    BatchAccepted,
    BatchAnswer,
    BatchCreate,
    JobAnswer,
    JobCreate,
)
from shared.kernel.ids import TenantId

router = APIRouter(tags=["jobs"], route_class=ApiRoute)

Reader = Annotated[TenantId, Depends(KeyFor(Scope.JOBS_READ))]
Writer = Annotated[TenantId, Depends(KeyFor(Scope.JOBS_WRITE))]
Wait = Annotated[
    int,
    BeforeValidator(written_plainly),
    Query(ge=0, le=60, description="Seconds to wait for the job's end before answering."),
]

LONGEST_STREAM = timedelta(minutes=10)
_METADATA = "metadata."


def _job_id(job_id: UUID) -> JobId:
    return JobId.of(job_id)


PathJobId = Annotated[JobId, Depends(_job_id)]


def _metadata_filter(request: Request) -> dict[str, Any]:
    """Parameters named ``metadata.<key>``: a JSON value where it reads as one, else a text."""
    return {
        name.removeprefix(_METADATA): _json_or_text(value)
        for name, value in request.query_params.items()
        if name.startswith(_METADATA)
    }


async def _seen_job(job_id: PathJobId, tenant: Reader, open_jobs: OpenJobs) -> JobStatusDTO:
    async with open_jobs(tenant) as work:
        return await work.jobs.get_job(job_id)


SeenJob = Annotated[JobStatusDTO, Depends(_seen_job)]


@router.post("/v1/jobs", status_code=202, responses=errors(429))
async def submit_job(
    body: JobCreate,
    tenant: Writer,
    open_jobs: OpenJobs,
    watch: Watching,
    request: Request,
    response: Response,
    wait: Wait = 0,
) -> JobAnswer:
    """Accept a prompt for the workers. With `wait` the answer comes when the job has ended, or
    after so many seconds with how it stands then; either way the job goes on."""
    async with open_jobs(tenant) as work:
        job = await work.jobs.submit_job(body.dto())
        await work.commit()
    response.headers["location"] = _location(job)
    return JobAnswer.of(await _waited(request, watch, tenant, job, wait))


@router.get("/v1/jobs")
async def list_jobs(
    tenant: Reader,
    open_jobs: OpenJobs,
    metadata: Annotated[dict[str, Any], Depends(_metadata_filter)],
    limit: Limit = 50,
    cursor: Cursor = None,
    status: Annotated[list[JobStatus], Query(description="Any of these.", max_length=6)] = [],  # noqa: B006
    config_name: Annotated[str | None, Query(max_length=100)] = None,
    created_from: Annotated[datetime | None, Query(description="This moment or later.")] = None,
    created_before: datetime | None = None,
    batch_id: UUID | None = None,
) -> PageOf[JobAnswer]:
    """The jobs, newest first. `metadata.<key>=<value>` keeps those whose metadata have it; a value
    that is written as JSON (`7`, `true`, `"7"`) is that value, anything else a text."""
    which = JobFilter(
        statuses=frozenset(status),
        config_name=config_name,
        created_from=created_from,
        created_before=created_before,
        metadata=metadata,
        batch_id=batch_id,
    )
    async with open_jobs(tenant) as work:
        page = await work.jobs.list_jobs(which, limit=limit, cursor=cursor)
    return page_of(page, JobAnswer.of)


@router.post("/v1/jobs/batch", status_code=202, responses=errors(429))
async def submit_batch(
    body: BatchCreate, tenant: Writer, open_jobs: OpenJobs, response: Response
) -> BatchAccepted:
    """Accept up to 1000 jobs, all or none: `422 invalid_job_batch` says which one cannot be
    accepted, and why."""
    async with open_jobs(tenant) as work:
        batch = await work.jobs.submit_batch(body.dtos(), body.metadata)
        await work.commit()
    response.headers["location"] = f"/v1/batches/{batch.batch_id}"
    return BatchAccepted.model_validate(batch)


@router.get("/v1/batches/{batch_id}", response_model=BatchAnswer)
async def get_batch(batch_id: UUID, tenant: Reader, open_jobs: OpenJobs) -> BatchDTO:
    """How far a batch is. `/v1/jobs?batch_id=` lists its jobs."""
    async with open_jobs(tenant) as work:
        return await work.jobs.get_batch(batch_id)


@router.get("/v1/jobs/{job_id}")
async def get_job(
    job: SeenJob, tenant: Reader, watch: Watching, request: Request, wait: Wait = 0
) -> JobAnswer:
    """How a job stands, at once or when it has ended."""
    return JobAnswer.of(await _waited(request, watch, tenant, job, wait))


@router.post("/v1/jobs/{job_id}/cancel", responses=errors(409))
async def cancel_job(job_id: PathJobId, tenant: Writer, open_jobs: OpenJobs) -> JobAnswer:
    """Stop a job that has not ended; the call of a model under way is aborted. Again changes
    nothing."""
    async with open_jobs(tenant) as work:
        job = await work.jobs.cancel_job(job_id)
        await work.commit()
    return JobAnswer.of(job)


@router.post("/v1/jobs/{job_id}/retry", status_code=202, responses=errors(409, 429))
async def retry_job(
    job_id: PathJobId, tenant: Writer, open_jobs: OpenJobs, response: Response
) -> JobAnswer:
    """Do a job that has ended again, as a new job that names it in `retry_of`."""
    async with open_jobs(tenant) as work:
        job = await work.jobs.retry_job(job_id)
        await work.commit()
    response.headers["location"] = _location(job)
    return JobAnswer.of(job)


@router.get("/v1/jobs/{job_id}/attempts")
async def list_attempts(
    job_id: PathJobId,
    tenant: Reader,
    open_jobs: OpenJobs,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageOf[AttemptAnswer]:
    """Every call of a model that was made for the job, in order."""
    async with open_jobs(tenant) as work:
        page = await work.jobs.list_attempts(job_id, limit=limit, cursor=cursor)
    return page_of(page, AttemptAnswer.of)


@router.get("/v1/jobs/{job_id}/events", response_class=EventSourceResponse)
async def job_events(
    job: SeenJob,
    tenant: Reader,
    watch: Watching,
    last_event_id: Annotated[str | None, Header(max_length=100)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """`status`: the job as it stands, at once and with each change, the last time when it has
    ended; its id may come back as `Last-Event-ID`. With `stream`, between them `delta`: more text;
    and `reset`: what was told is void. Ends with the job, or after ten minutes."""
    news = watch.news(tenant, job, seen=last_event_id, lasting=LONGEST_STREAM)
    async for each in news:
        yield _event(each)


async def _waited(
    request: Request, watch: JobWatch, tenant: TenantId, job: JobStatusDTO, seconds: int
) -> JobStatusDTO:
    if seconds == 0 or job.status.is_final:
        return job
    end = watch.until_ended(tenant, job, timedelta(seconds=seconds))
    return await while_connected(request, end, otherwise=job)


def _event(news: News) -> ServerSentEvent:
    if isinstance(news, StatusNews):
        return ServerSentEvent(event="status", id=news.stamp, data=JobAnswer.of(news.job))
    told = {"run": news.run, "attempt": news.attempt}
    if isinstance(news, TextReset):
        return ServerSentEvent(event="reset", data=told)
    return ServerSentEvent(event="delta", data={**told, "text": news.text})


def _location(job: JobStatusDTO) -> str:
    return f"/v1/jobs/{job.job_id}"


def _json_or_text(written: str) -> Any:
    try:
        return orjson.loads(written)
    except ValueError:
        return written
