"""Where jobs are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from gateway.domain.entities.job import Job
from gateway.domain.value_objects.job_id import JobId
from gateway.domain.value_objects.job_status import JobStatus
from shared.kernel.errors import Conflict, NotFound
from shared.kernel.ids import TenantId


class JobChangedMeanwhile(Conflict):
    """The job has moved on in the meantime: read it again."""

    code = "job_changed_meanwhile"


class BatchNotFound(NotFound):
    """There is no such batch."""

    code = "job_batch_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs a list shows; what is empty asks for nothing."""

    statuses: frozenset[JobStatus] = frozenset()
    config_name: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Jobs whose metadata has all of these."""
    batch_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobBatch:
    """Jobs that were submitted together, and how many of them stand where."""

    id: UUID
    total: int
    metadata: Mapping[str, Any]
    created_at: datetime
    counts: Mapping[JobStatus, int]
    """States in which no job is are missing."""

    @property
    def finished(self) -> int:
        return sum(count for status, count in self.counts.items() if status.is_final)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAttempt:
    """One call of a model, or one run of which nobody knows what it called."""

    number: int
    """Counts from 1 within the job."""
    run: int
    agent: str
    config_name: str
    model: str
    started_at: datetime
    milliseconds: int
    tokens_in: int
    tokens_out: int
    cost_nanos: int
    outcome: str
    """``ok``, the code of an error, or ``interrupted``."""
    error: str | None


class JobRepository(Protocol):
    """The jobs of one tenant, inside its transaction."""

    @property
    def tenant_id(self) -> TenantId: ...

    async def create(self, *jobs: Job) -> None:
        """Insert new jobs, all or none, with their events.

        The database's clock decides: ``created_at``, ``updated_at`` and ``deadline_at`` are
        afterwards what the rows say, the time between them unchanged.
        """
        ...

    async def create_batch(
        self, batch_id: UUID, *, total: int, metadata: Mapping[str, Any]
    ) -> None:
        """Insert the batch that jobs created afterwards may belong to."""
        ...

    async def find(self, job_id: JobId) -> Job | None: ...

    async def get(self, job_id: JobId) -> Job:
        """Raises `JobNotFound`."""
        ...

    async def get_for_change(self, job_id: JobId) -> Job:
        """The same, and nobody else changes it before this transaction ends."""
        ...

    async def list(
        self, which: JobFilter, *, limit: int, after: tuple[datetime, JobId] | None = None
    ) -> Sequence[Job]:
        """The newest first; ``after`` is the place of the last one seen: creation and id."""
        ...

    async def list_attempts(
        self, job_id: JobId, *, limit: int, after: int = 0
    ) -> Sequence[JobAttempt]:
        """The job's attempts with numbers greater than ``after``, in their order."""
        ...

    async def save(self, job: Job) -> None:
        """Write where a job that was read here stands now, with its events.

        Raises:
            JobChangedMeanwhile: its row is in another state or run than when it was read; nothing
                was written.
        """
        ...

    async def get_batch(self, batch_id: UUID) -> JobBatch:
        """Raises `BatchNotFound`."""
        ...
