"""A job: one prompt for the agents, from its submission to its end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

from gateway.domain.events.job_events import (
    JobCancelled,
    JobCompleted,
    JobCreated,
    JobFailed,
    JobRetrying,
)
from gateway.domain.value_objects.job_id import JobId
from gateway.domain.value_objects.job_status import JobStatus
from gateway.domain.value_objects.plain_json import checked_object
from gateway.domain.value_objects.prompt import Prompt
from shared.kernel.errors import Conflict, Invalid, NotFound
from shared.kernel.events import Aggregate
from shared.kernel.ids import TenantId


class JobNotFound(NotFound):
    """There is no such job."""

    code = "job_not_found"


class InvalidJob(Invalid):
    """The job cannot be accepted as it stands. ``data['field']`` names what is wrong."""

    code = "invalid_job"


class IllegalJobTransition(Conflict):
    """The job's state does not allow that."""

    code = "illegal_job_transition"


class RetriesSpent(Conflict):
    """The job was tried again as often as it may be."""

    code = "job_retries_spent"


class JobNotFinished(Conflict):
    """The job has not ended: only what has ended can be done again."""

    code = "job_not_finished"


class Pipeline(StrEnum):
    SINGLE = "single"
    """One model, one system prompt."""
    MULTI = "multi"
    """Moderation, router, and the agent that the router chose."""


Answerer: TypeAlias = Literal["main", "fallback", "followup"]
"""The agent whose answer a job carries."""

DEFAULT_DEADLINE = timedelta(hours=1)
DEFAULT_MAX_RETRIES = 3
MOST_RETRIES = 20
LONGEST_DEADLINE = timedelta(days=7)
_HIGHEST_PRIORITY = 10
_LONGEST_NAME = 100
_LONGEST_URL = 2000
_CONTEXT_SIZE = 200_000
_VARIABLES_SIZE = 100_000
_METADATA_SIZE = 10_000


@dataclass(eq=False, kw_only=True)
class Job(Aggregate):
    """One prompt and what becomes of it.

    A verb that its state does not allow raises `IllegalJobTransition` and changes nothing. The
    workers move jobs by statements of their own, fenced by ``run``, along the same edges.
    """

    id: JobId
    tenant_id: TenantId
    prompt: Prompt
    config_name: str
    template_name: str
    created_at: datetime
    deadline_at: datetime
    """A job that has not ended by then fails, however often it waited."""
    updated_at: datetime
    pipeline: Pipeline = Pipeline.SINGLE
    context: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    needs_moderation: bool = False
    priority: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    callback_url: str | None = None
    stream: bool = False
    """Whether the text is told while it is written, to whoever watches then."""
    retry_of: JobId | None = None
    batch_id: UUID | None = None
    status: JobStatus = JobStatus.QUEUED
    run: int = 0
    """Rises with each start: what an earlier run still wants to write is void."""
    result: str | None = None
    agent_type: Answerer | None = None
    moderation: Mapping[str, Any] | None = None
    template_version: int | None = None
    error: str | None = None
    """A sentence: why it failed, or why it waits. Gone when the job completes."""
    error_code: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    cost_nanos: int = 0
    """Billionths of a US dollar."""
    retry_count: int = 0
    """Retries after calls that really happened; waiting does not count."""
    max_retries: int = DEFAULT_MAX_RETRIES
    next_retry_at: datetime | None = None
    started_at: datetime | None = None
    """When a worker took it for the first time."""
    finished_at: datetime | None = None

    @classmethod
    def create(
        cls,
        *,
        tenant_id: TenantId,
        prompt: Prompt,
        config_name: str,
        template_name: str,
        at: datetime,
        pipeline: Pipeline = Pipeline.SINGLE,
        context: Mapping[str, Any] | None = None,
        variables: Mapping[str, Any] | None = None,
        needs_moderation: bool = False,
        priority: int = 0,
        metadata: Mapping[str, Any] | None = None,
        callback_url: str | None = None,
        stream: bool = False,
        max_retries: int = DEFAULT_MAX_RETRIES,
        deadline: timedelta = DEFAULT_DEADLINE,
        retry_of: JobId | None = None,
        batch_id: UUID | None = None,
    ) -> "Job":
        """Accept a prompt; it waits for a worker from now on.

        Raises:
            InvalidJob: a name, number, address or the deadline is out of range.
            InvalidData: context, variables or metadata are too large or no plain JSON.
        """
        _check_range("priority", priority, -_HIGHEST_PRIORITY, _HIGHEST_PRIORITY)
        _check_range("max_retries", max_retries, 0, MOST_RETRIES)
        if not timedelta(seconds=1) <= deadline <= LONGEST_DEADLINE:
            raise InvalidJob("deadline_seconds lies in 1 to 604800", field="deadline_seconds")
        job = cls(
            id=JobId.new(),
            tenant_id=tenant_id,
            prompt=prompt,
            config_name=_name(config_name, field="config_name"),
            template_name=_name(template_name, field="template_name"),
            created_at=at,
            updated_at=at,
            deadline_at=at + deadline,
            pipeline=pipeline,
            context=checked_object(context or {}, field="context", longest=_CONTEXT_SIZE),
            variables=checked_object(variables or {}, field="variables", longest=_VARIABLES_SIZE),
            needs_moderation=needs_moderation,
            priority=priority,
            metadata=checked_object(metadata or {}, field="metadata", longest=_METADATA_SIZE),
            callback_url=None if callback_url is None else _http_address(callback_url),
            stream=stream,
            retry_of=retry_of,
            batch_id=batch_id,
            max_retries=max_retries,
        )
        job._record(
            JobCreated(
                tenant_id=tenant_id,
                occurred_at=at,
                job_id=job.id,
                config_name=job.config_name,
                retry_of=retry_of,
                batch_id=batch_id,
            )
        )
        return job

    def again(self, *, at: datetime) -> "Job":
        """The same work as a new job, with as much time as this one had and no batch.

        Raises:
            JobNotFinished: this one has not ended.
        """
        if not self.status.is_final:
            raise JobNotFinished(status=self.status)
        return Job.create(
            tenant_id=self.tenant_id,
            prompt=self.prompt,
            config_name=self.config_name,
            template_name=self.template_name,
            at=at,
            pipeline=self.pipeline,
            context=self.context,
            variables=self.variables,
            needs_moderation=self.needs_moderation,
            priority=self.priority,
            metadata=self.metadata,
            callback_url=self.callback_url,
            stream=self.stream,
            max_retries=self.max_retries,
            deadline=self.deadline_at - self.created_at,
            retry_of=self.id,
        )

    @property
    def can_retry(self) -> bool:
        return self.retry_count < self.max_retries

    def start(self, *, at: datetime) -> int:
        """A worker takes it. Returns the number of this run, by which its writing is fenced."""
        self._become(JobStatus.PROCESSING, at)
        self.run += 1
        self.started_at = self.started_at or at
        return self.run

    def complete(self, result: str, agent_type: Answerer = "main", *, at: datetime) -> None:
        """The agents answered; ``agent_type`` is the one that really did."""
        self._become(JobStatus.COMPLETED, at)
        self.result, self.agent_type, self.error = result, agent_type, None
        self._record(
            JobCompleted(
                tenant_id=self.tenant_id, occurred_at=at, job_id=self.id, agent_type=agent_type
            )
        )

    def fail(self, code: str, error: str, *, at: datetime) -> None:
        """There will be no answer; ``error`` says why in a sentence."""
        self._become(JobStatus.FAILED, at)
        self.error_code, self.error = code, error
        self._record(
            JobFailed(tenant_id=self.tenant_id, occurred_at=at, job_id=self.id, error_code=code)
        )

    def mark_for_retry(
        self, delay_seconds: float, *, at: datetime, error: str, counts: bool = True
    ) -> None:
        """Try again later, but not later than the deadline, which then ends the job.

        ``counts`` is false where no call was made: a circuit is open, a budget is spent, or the
        provider had named the time.

        Raises:
            RetriesSpent: it was tried again as often as it may be; nothing has changed.
        """
        if counts and not self.can_retry and self.status is JobStatus.PROCESSING:
            raise RetriesSpent(retry_count=self.retry_count)
        self._become(JobStatus.RETRYING, at)
        self.next_retry_at = min(at + timedelta(seconds=delay_seconds), self.deadline_at)
        self.retry_count += counts
        self.error = error
        self._record(
            JobRetrying(
                tenant_id=self.tenant_id,
                occurred_at=at,
                job_id=self.id,
                retry_count=self.retry_count,
                next_retry_at=self.next_retry_at,
            )
        )

    def requeue(self, *, at: datetime) -> None:
        """Its time to be tried again has come."""
        if self.status is not JobStatus.RETRYING:
            raise self._refused(JobStatus.QUEUED)
        self._become(JobStatus.QUEUED, at)

    def release(self, *, at: datetime) -> None:
        """Its worker stopped or died: another one may take it, and no retry is counted."""
        if self.status is not JobStatus.PROCESSING:
            raise self._refused(JobStatus.QUEUED)
        self._become(JobStatus.QUEUED, at)

    def cancel(self, *, at: datetime) -> None:
        """Nobody wants the answer any more; a run under way is void."""
        self._become(JobStatus.CANCELLED, at)
        self._record(JobCancelled(tenant_id=self.tenant_id, occurred_at=at, job_id=self.id))

    def _become(self, target: JobStatus, at: datetime) -> None:
        if not self.status.can_transition_to(target):
            raise self._refused(target)
        self.status, self.updated_at, self.next_retry_at = target, at, None
        if target.is_final:
            self.finished_at = at

    def _refused(self, target: JobStatus) -> IllegalJobTransition:
        return IllegalJobTransition(
            f"a job cannot go from {self.status} to {target}", status=self.status
        )


def _name(text: str, *, field: str) -> str:
    if not 1 <= len(text) <= _LONGEST_NAME or text != text.strip() or not text.isprintable():
        raise InvalidJob(f"{field} has 1 to {_LONGEST_NAME} printable characters", field=field)
    return text


def _check_range(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidJob(f"{field} lies in {least} to {most}", field=field)


def _http_address(text: str) -> str:
    """Whether it may be called is judged when it is: names change where they lead."""
    wrong = InvalidJob("callback_url is an http or https address", field="callback_url")
    if len(text) > _LONGEST_URL or not text.isascii() or not text.isprintable() or " " in text:
        raise wrong
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise wrong from error
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise wrong
    return text
