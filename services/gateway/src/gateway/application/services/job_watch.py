"""Watching jobs: waiting for their end, and hearing how they get there.

The cache's topic wakes whoever watches, and a look at the row every two seconds makes up for a
cache that is away. Nothing of the database is held while waiting.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeAlias

import orjson

from gateway.application.dto.job_dto import JobStatusDTO
from gateway.application.listening import Heard, listening
from gateway.application.services.job_service import JobService
from shared.cache.port import Cache
from shared.jobs import topic
from shared.kernel.errors import Unavailable
from shared.kernel.ids import TenantId

POLL = timedelta(seconds=2)


class JobWork(Protocol):
    """One open unit of work, with the service over it."""

    @property
    def jobs(self) -> JobService: ...

    async def commit(self) -> None: ...


OpenJobWork: TypeAlias = Callable[[TenantId], AbstractAsyncContextManager[JobWork]]


@dataclass(frozen=True, slots=True)
class StatusNews:
    """The job as it stands now; of states that pass quickly some may not be seen."""

    job: JobStatusDTO

    @property
    def stamp(self) -> str:
        return stamp_of(self.job)


@dataclass(frozen=True, slots=True)
class TextReset:
    """Text that was told so far is void; another attempt writes."""

    run: int
    attempt: int


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the text that this attempt writes."""

    run: int
    attempt: int
    text: str


News: TypeAlias = StatusNews | TextReset | TextDelta


def stamp_of(job: JobStatusDTO) -> str:
    """Names a state of a job: no job is twice in the same state of the same run."""
    return f"{job.run}-{job.status}"


@dataclass(frozen=True, slots=True)
class JobWatch:
    """``stopping`` is set when the process ends: whoever waits is answered at once."""

    open_work: OpenJobWork
    cache: Cache
    stopping: asyncio.Event
    poll: timedelta = POLL

    async def until_ended(
        self, tenant_id: TenantId, job: JobStatusDTO, within: timedelta
    ) -> JobStatusDTO:
        """The job when it has ended, or as it stands when the time is over.

        It never fails: a job that was accepted is not refused because it cannot be watched.
        """
        if job.status.is_final or within <= timedelta(0):
            return job
        loop = asyncio.get_running_loop()
        ends = loop.time() + within.total_seconds()
        async with listening(self.cache, topic(tenant_id, job.job_id)) as heard:
            while True:
                job = await self._look(tenant_id, job)
                now = loop.time()
                if job.status.is_final or now >= ends or self.stopping.is_set():
                    return job
                await _word_of_state(heard, min(ends, now + self.poll.total_seconds()))

    async def news(
        self, tenant_id: TenantId, job: JobStatusDTO, *, seen: str | None, lasting: timedelta
    ) -> AsyncIterator[News]:
        """How a job goes on: its state at once, unless its stamp is the one that was ``seen``, and
        each later one, with the text between them; until it has ended or the time is over. The last
        word of a job that has ended is its final state, seen or not.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + lasting.total_seconds()
        void: tuple[int, int] | None = None
        async with listening(self.cache, topic(tenant_id, job.job_id)) as heard:
            while True:
                job = await self._look(tenant_id, job)
                if stamp_of(job) != seen or job.status.is_final:
                    seen = stamp_of(job)
                    yield StatusNews(job)
                while True:
                    if job.status.is_final or loop.time() >= ends or self.stopping.is_set():
                        return
                    message = await heard.next(self.poll)
                    text = None if message is None else _text_news(message)
                    if text is None:
                        break
                    if text.run < job.run or (text.run, text.attempt) == void:
                        continue
                    if heard.missed:  # what would follow has a gap
                        heard.missed = False
                        void = (text.run, text.attempt)
                        text = TextReset(*void)
                    yield text

    async def _look(self, tenant_id: TenantId, known: JobStatusDTO) -> JobStatusDTO:
        try:
            async with self.open_work(tenant_id) as work:
                return await work.jobs.get_job(known.job_id)
        except Unavailable:  # watching outlives the database's restart
            return known


async def _word_of_state(heard: Heard, until: float) -> None:
    """Wait until something is said about the job's state, or the loop's clock shows ``until``."""
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            while _text_news(await heard.get()) is not None:
                pass


def _text_news(message: bytes) -> TextReset | TextDelta | None:
    told = orjson.loads(message)
    if told["type"] == "delta":
        return TextDelta(told["run"], told["attempt"], told["text"])
    if told["type"] == "reset":
        return TextReset(told["run"], told["attempt"])
    return None
