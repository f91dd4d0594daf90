"""Work of the kind ``job.run``: one job, taken under its fence, answered, and ended for good or
planned again."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from uuid import UUID

from prometheus_client import Counter

from llm_worker.application.dto.processing_dto import (
    ProcessingRequest,
    ProcessingResult,
    RunRecord,
)
from llm_worker.application.ports.jobs import JobDesk, JobNews, Run, RunningJob
from llm_worker.application.services.processing_service import ProcessingService, TextStream
from llm_worker.domain.services.job_retry import GiveUp, after_failure
from shared.kernel.errors import DomainError, Invalid
from shared.messaging.ending import end
from shared.messaging.port import Claim, ClaimLost
from shared.persistence.contention import retried
from shared.persistence.database import Contended, DatabaseUnavailable

RUN_LIMIT = timedelta(minutes=20)
"""Longest single run of a job; its deadline may come earlier."""
_LOOK = 1.0
"""Seconds between two looks at which running jobs were cancelled."""

_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between the tries to write down how a run ended."""
_NOT_THE_MODELS = (DatabaseUnavailable, Contended)
_STOPPED = "STOPPED"
"""No status of a job: somebody else has given it its own."""

JOBS = Counter("llm_jobs", "Runs of jobs by how they ended", ["outcome"])

End = Callable[[], Awaitable[None]]
"""Writes down how a run ended; doing it again is harmless."""
Sleep = Callable[[float], Awaitable[None]]
Streams = Callable[[RunningJob], AbstractAsyncContextManager[TextStream | None]]


class UnreadableJobTask(Invalid):
    """The work names no job."""

    code = "unreadable_job_task"


@dataclass(slots=True)
class RunningJobs:
    """The jobs of this process. Those that somebody cancelled or took over are stopped."""

    desk: JobDesk
    _running: dict["asyncio.Task[ProcessingResult]", Run] = field(default_factory=dict)
    """A worker that slept may have two runs of one job: the one that it lost, and its next."""

    async def run(self, job: RunningJob, task: "asyncio.Task[ProcessingResult]") -> None:
        """Wait until the task has ended, however it ends."""
        self._running[task] = Run(job.id, job.run)
        try:
            await asyncio.wait({task})
        finally:
            del self._running[task]
            await end([task])

    async def watch(self) -> None:
        """Stop what is outdated, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK)
            if self._running:
                with suppress(DatabaseUnavailable):  # the fence holds without us
                    await self.look()

    async def look(self) -> None:
        """Stop what is outdated now."""
        seen = dict(self._running)
        outdated = await self.desk.outdated(set(seen.values()))
        for task, run in seen.items():
            if run in outdated:
                task.cancel()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator["RunningJobs"]:
        watching = asyncio.create_task(self.watch(), name="cancelled jobs")
        try:
            yield self
        finally:
            await end([watching])


@dataclass(frozen=True, slots=True)
class MessageHandler:
    """Payload: ``{"job_id": …}``. A failure of the model is the job's business and never raised:
    it ends the job or plans its next try."""

    desk: JobDesk
    news: JobNews
    processing: ProcessingService
    running: RunningJobs
    streams: Streams
    rng: random.Random
    sleep: Sleep = asyncio.sleep

    async def __call__(self, claim: Claim) -> None:
        job = await self.desk.start(claim, _job_id(claim))
        if job is None:
            return
        await self.news.status(job.tenant_id, job.id, "PROCESSING", job.run)
        record = RunRecord()
        try:
            status = await self._run(claim, job, record)
        except (ClaimLost, DatabaseUnavailable, Contended):
            raise  # it is another's, or nothing can be written
        except BaseException:  # the worker ends, or we have a bug
            with suppress(DatabaseUnavailable, Contended):
                await self.desk.release(job, record)
            raise
        JOBS.labels(status.lower()).inc()
        if status != _STOPPED:
            await self.news.status(job.tenant_id, job.id, status, job.run)

    async def _run(self, claim: Claim, job: RunningJob, record: RunRecord) -> str:
        """Answer the job and end it; its new status."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + job.left.total_seconds()
        async with self.streams(job) as stream:
            task = asyncio.create_task(self._process(job, record, stream))
            await self.running.run(job, task)
        if task.cancelled():
            return await self._stopped(claim, job, record)
        error = task.exception()
        ending: End
        if error is None:
            answer = task.result()
            ending, status = (
                partial(
                    self.desk.complete,
                    claim,
                    job,
                    record,
                    text=answer.text,
                    agent_type=answer.agent_type,
                ),
                "COMPLETED",
            )
        elif isinstance(error, DomainError) and not isinstance(error, _NOT_THE_MODELS):
            left = timedelta(seconds=ends - loop.time())
            ending, status = self._failure(claim, job, record, error, left)
        else:
            raise error
        try:
            await self._written(ending)
        except ClaimLost:  # cancelled in the last moment, or another's
            return await self._stopped(claim, job, record)
        return status

    async def _process(
        self, job: RunningJob, record: RunRecord, stream: TextStream | None
    ) -> ProcessingResult:
        request = ProcessingRequest(
            tenant_id=job.tenant_id,
            prompt=job.prompt,
            config_name=job.config_name,
            template_name=job.template_name,
            variables=job.variables,
            retry_count=job.retry_count,
            deadline=min(job.left, RUN_LIMIT),
        )
        if not job.is_multi:
            return await self.processing.process(request, record=record, stream=stream)
        return await self.processing.process_multi_agent(
            request, job.context, job.needs_moderation, record=record, stream=stream
        )

    def _failure(
        self,
        claim: Claim,
        job: RunningJob,
        record: RunRecord,
        error: DomainError,
        left: timedelta,
    ) -> tuple[End, str]:
        what = after_failure(
            error,
            called=bool(record.attempts),
            retry_count=job.retry_count,
            max_retries=job.max_retries,
            left=left,
            rng=self.rng,
        )
        if isinstance(what, GiveUp):
            failed = partial(self.desk.fail, claim, job, record, code=what.code, error=what.error)
            return failed, "FAILED"
        planned = partial(
            self.desk.retry,
            claim,
            job,
            record,
            delay=what.delay,
            counted=what.counted,
            error=error.detail,
        )
        return planned, "RETRYING"

    async def _stopped(self, claim: Claim, job: RunningJob, record: RunRecord) -> str:
        await self._written(partial(self.desk.stopped, claim, job, record))
        return _STOPPED

    async def _written(self, ending: End) -> None:
        """An answer that was paid for is not thrown away because the database is away for half a
        minute: longer than a lease, nobody keeps it."""
        for pause in _PAUSES:
            try:
                return await retried(ending, self.rng)
            except DatabaseUnavailable:
                await self.sleep(pause * self.rng.uniform(0.5, 1.5))
        return await retried(ending, self.rng)


def _job_id(claim: Claim) -> UUID:
    try:
        return UUID(str(claim.payload["job_id"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableJobTask from error
