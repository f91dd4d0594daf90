"""What happens to jobs. Events carry no prompt and no answer: those stand in the job's own row."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from gateway.domain.value_objects.job_id import JobId
from shared.kernel.events import DomainEvent


@dataclass(frozen=True, kw_only=True, slots=True)
class JobCreated(DomainEvent):
    name: ClassVar[str] = "job.created"

    job_id: JobId
    config_name: str
    retry_of: UUID | None = None
    batch_id: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobCompleted(DomainEvent):
    name: ClassVar[str] = "job.completed"

    job_id: JobId
    agent_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFailed(DomainEvent):
    name: ClassVar[str] = "job.failed"

    job_id: JobId
    error_code: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRetrying(DomainEvent):
    name: ClassVar[str] = "job.retrying"

    job_id: JobId
    retry_count: int
    next_retry_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class JobCancelled(DomainEvent):
    name: ClassVar[str] = "job.cancelled"

    job_id: JobId
