"""LLM jobs over HTTP."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import Field

from gateway.application.dto.job_dto import JobDTO, JobStatusDTO
from gateway.application.services.job_service import LARGEST_BATCH
from gateway.domain.entities.job import LONGEST_DEADLINE, MOST_RETRIES, Answerer, Pipeline
from gateway.domain.repositories.job_repository import JobAttempt
from gateway.domain.value_objects.job_status import JobStatus
from gateway.domain.value_objects.prompt import LONGEST_PROMPT
from gateway.interface.schemas.common import Answer, Cost, RequestBody, read

Name = Annotated[str, Field(min_length=1, max_length=100)]
JsonObject = dict[str, Any]


class JobCreate(RequestBody):
    prompt: str = Field(
        description="What is asked, 1 to 100000 characters.",
        # said here, judged by the prompt itself, whose refusal has its own code
        json_schema_extra={"minLength": 1, "maxLength": LONGEST_PROMPT},
    )
    config_name: Name = Field(default="default-smart", description="The model that answers.")
    template_name: Name = Field(
        default="default-assistant", description="The system prompt, with `pipeline: single`."
    )
    pipeline: Pipeline = Field(
        default=Pipeline.SINGLE,
        description="`single`: one model, one prompt. `multi`: moderation, router, and the agent "
        "that it chose.",
    )
    context: JsonObject = Field(
        default={},
        description="For `multi`: `is_followup`, `history`, and what the agents may know.",
    )
    needs_moderation: bool = False
    variables: JsonObject = Field(default={}, description="Values of the template's places.")
    max_retries: int | None = Field(
        default=None,
        strict=True,
        ge=0,
        le=MOST_RETRIES,
        description="Retries after calls that failed; normally JOB_DEFAULT_MAX_RETRIES.",
    )
    priority: int = Field(
        default=0, strict=True, ge=-10, le=10, description="Higher goes first among your own jobs."
    )
    deadline_seconds: float = Field(
        default=3600,
        ge=1,
        le=LONGEST_DEADLINE.total_seconds(),
        allow_inf_nan=False,
        description="A job that has not ended by then fails.",
    )
    callback_url: str | None = Field(
        default=None,
        max_length=2000,
        description="Is told when the job has ended; a public https address.",
    )
    metadata: JsonObject = Field(default={}, description="Your own; lists can be filtered by it.")
    stream: bool = Field(
        default=False, description="Tell the text at `/events` while it is written."
    )

    def dto(self) -> JobDTO:
        return JobDTO(**read(self, type(self)))


class BatchCreate(RequestBody):
    most_values: ClassVar[int] = 200_000

    jobs: list[JobCreate] = Field(min_length=1, max_length=LARGEST_BATCH)
    metadata: JsonObject = {}

    def dtos(self) -> list[JobDTO]:
        return [job.dto() for job in self.jobs]


class JobError(Answer):
    code: str | None = Field(description="Of a job that failed; null while it waits for a retry.")
    detail: str | None


class JobAnswer(Answer):
    job_id: UUID
    status: JobStatus
    result: str | None = Field(description="The answer, once the job has completed.")
    agent_type: Answerer | None = Field(description="The agent that really answered.")
    error: JobError | None
    retry_count: int = Field(description="Retries after calls that were made.")
    max_retries: int
    next_retry_at: datetime | None
    tokens: int
    tokens_in: int
    tokens_out: int
    cost: Cost
    config_name: str
    template_name: str
    template_version: int | None = Field(description="The version of the template that answered.")
    pipeline: Pipeline
    moderation: Mapping[str, Any] | None
    priority: int
    stream: bool
    metadata: Mapping[str, Any]
    retry_of: UUID | None
    batch_id: UUID | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    deadline_at: datetime

    @classmethod
    def of(cls, job: JobStatusDTO) -> "JobAnswer":
        failed = job.error is not None or job.error_code is not None
        return cls(
            **read(job, cls, but=("error", "cost")),
            error=JobError(code=job.error_code, detail=job.error) if failed else None,
            cost=Cost.of(job.cost_nanos),
        )


class AttemptAnswer(Answer):
    number: int = Field(description="Counts from 1 within the job.")
    run: int = Field(description="Rises each time a worker takes the job.")
    agent: str
    config_name: str
    model: str
    started_at: datetime
    milliseconds: int
    tokens_in: int
    tokens_out: int
    cost: Cost
    outcome: str = Field(description="`ok`, the code of an error, or `interrupted`.")
    error: str | None

    @classmethod
    def of(cls, attempt: JobAttempt) -> "AttemptAnswer":
        return cls(**read(attempt, cls, but=("cost",)), cost=Cost.of(attempt.cost_nanos))


class BatchAnswer(Answer):
    batch_id: UUID
    total: int
    finished: int = Field(description="Jobs that have ended, however.")
    counts: Mapping[JobStatus, int] = Field(description="Jobs in each state that any is in.")
    metadata: Mapping[str, Any]
    created_at: datetime


class BatchAccepted(BatchAnswer):
    job_ids: list[UUID] = Field(description="In the order of `jobs`.")
