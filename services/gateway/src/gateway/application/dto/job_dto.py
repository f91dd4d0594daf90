"""Jobs as they come in and as they are told of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from gateway.domain.entities.job import (
    DEFAULT_DEADLINE,
    Answerer,
    Job,
    Pipeline,
)
from gateway.domain.value_objects.job_id import JobId
from gateway.domain.value_objects.job_status import JobStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDTO:
    """A job to do, as it was asked for; `Job.create` judges it."""

    prompt: str = field(repr=False)
    config_name: str = "default-smart"
    template_name: str = "default-assistant"
    pipeline: Pipeline = Pipeline.SINGLE
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)
    needs_moderation: bool = False
    variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    max_retries: int | None = None
    """``None``: JOB_DEFAULT_MAX_RETRIES."""
    priority: int = 0
    deadline_seconds: float = DEFAULT_DEADLINE.total_seconds()
    callback_url: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatusDTO:
    """How a job stands. Its prompt is not repeated."""

    job_id: JobId
    status: JobStatus
    result: str | None = field(repr=False)
    agent_type: Answerer | None
    moderation: Mapping[str, Any] | None
    error: str | None
    error_code: str | None
    retry_count: int
    max_retries: int
    next_retry_at: datetime | None
    config_name: str
    template_name: str
    template_version: int | None
    pipeline: Pipeline
    priority: int
    stream: bool
    tokens_in: int
    tokens_out: int
    cost_nanos: int
    metadata: Mapping[str, Any]
    retry_of: JobId | None
    batch_id: UUID | None
    run: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    deadline_at: datetime

    @classmethod
    def of(cls, job: Job) -> "JobStatusDTO":
        return cls(
            job_id=job.id,
            status=job.status,
            result=job.result,
            agent_type=job.agent_type,
            moderation=job.moderation,
            error=job.error,
            error_code=job.error_code,
            retry_count=job.retry_count,
            max_retries=job.max_retries,
            next_retry_at=job.next_retry_at,
            config_name=job.config_name,
            template_name=job.template_name,
            template_version=job.template_version,
            pipeline=job.pipeline,
            priority=job.priority,
            stream=job.stream,
            tokens_in=job.tokens_in,
            tokens_out=job.tokens_out,
            cost_nanos=job.cost_nanos,
            metadata=job.metadata,
            retry_of=job.retry_of,
            batch_id=job.batch_id,
            run=job.run,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            updated_at=job.updated_at,
            deadline_at=job.deadline_at,
        )

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDTO:
    """Jobs that were submitted together."""

    batch_id: UUID
    total: int
    finished: int
    counts: Mapping[JobStatus, int]
    """How many jobs are in each state; states without any are missing."""
    metadata: Mapping[str, Any]
    created_at: datetime
    job_ids: tuple[JobId, ...] = ()
    """In the order in which they were submitted; only the answer to that names them."""
