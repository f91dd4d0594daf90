"""Jobs as a worker sees them: taken under a fence, and ended in one transaction."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from llm_worker.application.dto.processing_dto import RunRecord
from shared.kernel.ids import TenantId
from shared.messaging.port import Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """A job that this worker does; ``run`` is its fence."""

    id: UUID
    tenant_id: TenantId
    run: int
    prompt: str = field(repr=False)
    config_name: str
    template_name: str
    is_multi: bool
    context: Mapping[str, Any] = field(repr=False)
    variables: Mapping[str, Any] = field(repr=False)
    needs_moderation: bool
    stream: bool
    priority: int
    retry_count: int
    max_retries: int
    left: timedelta
    """Until its deadline, when it was taken."""


class Run(NamedTuple):
    """One of a job's runs."""

    job_id: UUID
    number: int


class JobDesk(Protocol):
    """Every method is one transaction, and each end finishes the claim with it.

    Raises, each of them:
        ClaimLost: the claim is another's; nothing happened.
        DatabaseUnavailable: no answer, or an unclear one; doing it again is harmless.
    """

    async def start(self, claim: Claim, job_id: UUID) -> RunningJob | None:
        """Take the job; its run number rises. ``None``: there is nothing to do any more, and the
        claim is finished.

        Raises:
            Postpone: a limit of its tenant is reached; no retry counts.
        """
        ...

    async def complete(
        self, claim: Claim, job: RunningJob, record: RunRecord, *, text: str, agent_type: str
    ) -> None: ...

    async def fail(
        self, claim: Claim, job: RunningJob, record: RunRecord, *, code: str, error: str
    ) -> None: ...

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
        """Plan the next try; the job is RETRYING until then."""
        ...

    async def stopped(self, claim: Claim, job: RunningJob, record: RunRecord) -> None:
        """Keep what a run has used whose job was cancelled meanwhile.

        Raises:
            ClaimLost: the job goes on in another run, whose work stays.
        """
        ...

    async def release(self, job: RunningJob, record: RunRecord) -> None:
        """Put the job back into the queue, with what the run has used: its worker ends, and no
        retry is counted. The claim stays as it is; where the run is outdated, nothing happens."""
        ...

    async def outdated(self, runs: Collection[Run]) -> set[Run]:
        """Which of these runs their jobs are no longer in: cancelled, or taken over."""
        ...


class JobNews(Protocol):
    """Word to whoever watches a job just now; it may be lost."""

    async def status(self, tenant_id: TenantId, job_id: UUID, status: str, run: int) -> None: ...
