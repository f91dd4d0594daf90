"""How a job's run ends: what is written, in which order, and what happens when it cannot be."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from llm_worker.application.dto.processing_dto import (
    Attempt,
    ProcessingRequest,
    ProcessingResult,
    RunRecord,
)
from llm_worker.application.ports.jobs import Run, RunningJob
from llm_worker.application.services.processing_service import TextStream
from llm_worker.infrastructure.llm.errors import ModelRefused, ModelUnavailable
from llm_worker.interface.handlers.message_handler import (
    RUN_LIMIT,
    MessageHandler,
    RunningJobs,
    UnreadableJobTask,
)
from shared.kernel.ids import TenantId, new_id
from shared.messaging.port import Claim, ClaimLost, Queue
from shared.persistence.database import Contended, DatabaseUnavailable
from tests.unit.llm_worker.infrastructure.fake_time import FakeTime
from tests.unit.llm_worker.infrastructure.test_text_deltas import a_job

ATTEMPT = Attempt(
    agent="main",
    config_name="x",
    model="m",
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
    milliseconds=5,
    tokens_in=3,
    tokens_out=2,
    cost_nanos=7,
    outcome="ok",
    error=None,
)
CLAIM = Claim(
    id=new_id(),
    tenant_id=TenantId(new_id()),
    queue=Queue.AI_TASKS,
    kind="job.run",
    key=str(new_id()),
    payload={"job_id": str(new_id())},
    generation=1,
    attempts=0,
    lease_id=new_id(),
)


@dataclass
class MemoryDesk:
    """Writes down what it is told, unless something is in the way first."""

    job: RunningJob | None
    troubles: list[Exception] = field(default_factory=list)
    told: list[tuple[Any, ...]] = field(default_factory=list)
    gone: set[Run] = field(default_factory=set)

    async def start(self, claim: Claim, job_id: UUID) -> RunningJob | None:
        return self.job

    def _tell(self, *what: Any) -> None:
        if self.troubles:
            raise self.troubles.pop(0)
        self.told.append(what)

    async def complete(
        self, claim: Claim, job: RunningJob, record: RunRecord, *, text: str, agent_type: str
    ) -> None:
        self._tell("complete", text, agent_type, record.tokens)

    async def fail(
        self, claim: Claim, job: RunningJob, record: RunRecord, *, code: str, error: str
    ) -> None:
        self._tell("fail", code, record.tokens)

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
        self._tell("retry", counted, record.tokens)

    async def stopped(self, claim: Claim, job: RunningJob, record: RunRecord) -> None:
        self._tell("stopped", record.tokens)

    async def release(self, job: RunningJob, record: RunRecord) -> None:
        self._tell("release", record.tokens)

    async def outdated(self, runs: Collection[Run]) -> set[Run]:
        return self.gone & set(runs)


class News:
    def __init__(self) -> None:
        self.told: list[str] = []

    async def status(self, tenant_id: TenantId, job_id: UUID, status: str, run: int) -> None:
        self.told.append(status)


class Processing:
    """Calls once, and then does what the test wants."""

    def __init__(self, ends: Callable[[], Any]) -> None:
        self.requests: list[ProcessingRequest] = []
        self.begun = asyncio.Event()
        self._ends = ends

    async def process(
        self, request: ProcessingRequest, *, record: RunRecord, stream: TextStream | None
    ) -> ProcessingResult:
        self.requests.append(request)
        record.attempts.append(ATTEMPT)
        self.begun.set()
        ended = self._ends()
        if asyncio.iscoroutine(ended):
            await ended
        if isinstance(ended, BaseException):
            raise ended
        return ProcessingResult(text="Baik.", tokens=5, agent_type="main")


@dataclass
class Scene:
    desk: MemoryDesk
    processing: Processing
    handler: MessageHandler
    news: News
    waits: FakeTime


def a_scene(ends: Callable[[], Any] = lambda: None, *troubles: Exception, **job: Any) -> Scene:
    desk = MemoryDesk(replace(a_job(stream=False), **job), list(troubles))
    processing, news, waits = Processing(ends), News(), FakeTime()

    @asynccontextmanager
    async def no_stream(job: RunningJob) -> AsyncIterator[None]:
        yield None

    handler = MessageHandler(
        desk=desk,
        news=news,
        processing=processing,  # type: ignore[arg-type]
        running=RunningJobs(desk),
        streams=no_stream,
        rng=random.Random(1),
        sleep=waits.sleep,
    )
    return Scene(desk, processing, handler, news, waits)


async def test_an_answer_is_written_with_what_it_took() -> None:
    scene = a_scene()
    await scene.handler(CLAIM)
    assert scene.desk.told == [("complete", "Baik.", "main", 5)]
    assert scene.news.told == ["PROCESSING", "COMPLETED"]


async def test_what_is_not_to_be_done_any_more_is_not_done() -> None:
    scene = a_scene()
    scene.desk.job = None
    await scene.handler(CLAIM)
    assert (scene.desk.told, scene.processing.requests, scene.news.told) == ([], [], [])


@pytest.mark.parametrize(
    ("error", "told", "status"),
    [
        (ModelRefused(), ("fail", "model_refused", 5), "FAILED"),
        (ModelUnavailable(), ("retry", True, 5), "RETRYING"),
        (
            ModelUnavailable(retry_after=timedelta(seconds=20)),
            ("retry", False, 5),
            "RETRYING",
        ),
    ],
)
async def test_a_failure_of_the_model_ends_the_job_or_plans_its_next_try(
    error: Exception, told: tuple[Any, ...], status: str
) -> None:
    scene = a_scene(lambda: error)
    await scene.handler(CLAIM)
    assert scene.desk.told == [told]
    assert scene.news.told == ["PROCESSING", status]


@pytest.mark.parametrize(
    "troubles",
    [
        [DatabaseUnavailable()],
        [DatabaseUnavailable()] * 7,
        [Contended()] * 3,
        [Contended(), DatabaseUnavailable(), Contended()],
    ],
    ids=len,
)
async def test_an_answer_is_kept_in_hand_until_it_can_be_written(troubles: list[Exception]) -> None:
    scene = a_scene(lambda: None, *troubles)
    await scene.handler(CLAIM)
    assert scene.desk.told == [("complete", "Baik.", "main", 5)]
    assert len(scene.processing.requests) == 1
    assert sum(scene.waits.slept) <= 60


async def test_an_outage_of_the_database_is_not_the_jobs_failure() -> None:
    scene = a_scene(lambda: None, *[DatabaseUnavailable()] * 99)
    with pytest.raises(DatabaseUnavailable):
        await scene.handler(CLAIM)
    assert scene.desk.told == []


@pytest.mark.parametrize("error", [DatabaseUnavailable(), Contended()])
async def test_a_database_that_is_away_during_the_run_is_raised(error: Exception) -> None:
    scene = a_scene(lambda: error)
    with pytest.raises(type(error)):
        await scene.handler(CLAIM)
    assert not [each for each in scene.desk.told if each[0] in ("fail", "retry", "complete")]


@pytest.mark.parametrize("error", [None, ModelRefused(), ModelUnavailable()], ids=str)
async def test_a_run_that_lost_its_fence_keeps_its_use_alone(error: Exception | None) -> None:
    scene = a_scene(lambda: error, ClaimLost())
    await scene.handler(CLAIM)
    assert scene.desk.told == [("stopped", 5)]
    assert scene.news.told == ["PROCESSING"]


async def test_a_claim_that_is_anothers_is_left_alone() -> None:
    scene = a_scene(lambda: None, ClaimLost(), ClaimLost())
    with pytest.raises(ClaimLost):
        await scene.handler(CLAIM)
    assert scene.desk.told == []


async def test_a_bug_is_raised_and_the_job_goes_back_with_its_use() -> None:
    scene = a_scene(lambda: RuntimeError("a bug"))
    with pytest.raises(RuntimeError):
        await scene.handler(CLAIM)
    assert scene.desk.told == [("release", 5)]


async def test_a_worker_that_ends_gives_the_job_back_with_its_use() -> None:
    scene = a_scene(lambda: asyncio.Event().wait())
    working = asyncio.create_task(scene.handler(CLAIM))
    await scene.processing.begun.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert scene.desk.told == [("release", 5)]
    await scene.handler.running.look()  # nothing is left in hand


async def test_a_cancelled_job_is_stopped() -> None:
    scene = a_scene(lambda: asyncio.Event().wait())
    assert scene.desk.job is not None
    working = asyncio.create_task(scene.handler(CLAIM))
    await scene.processing.begun.wait()
    await scene.handler.running.look()
    assert not working.done()
    scene.desk.gone = {Run(scene.desk.job.id, scene.desk.job.run)}
    await scene.handler.running.look()
    await working
    assert scene.desk.told == [("stopped", 5)]


async def test_a_worker_that_slept_may_have_two_runs_of_one_job_and_stops_the_older() -> None:
    scene = a_scene(lambda: asyncio.Event().wait(), run=1)
    assert scene.desk.job is not None
    older = asyncio.create_task(scene.handler(CLAIM))
    await scene.processing.begun.wait()
    scene.desk.job = replace(scene.desk.job, run=2)
    scene.processing.begun.clear()
    newer = asyncio.create_task(scene.handler(CLAIM))
    await scene.processing.begun.wait()
    scene.desk.gone = {Run(scene.desk.job.id, 1)}
    await scene.handler.running.look()
    await older
    assert not newer.done()
    scene.desk.gone = {Run(scene.desk.job.id, 2)}
    await scene.handler.running.look()
    await newer
    assert scene.desk.told == [("stopped", 5)] * 2


@pytest.mark.parametrize(
    ("left", "deadline"),
    [(timedelta(seconds=5), timedelta(seconds=5)), (timedelta(days=1), RUN_LIMIT)],
)
async def test_a_run_has_what_is_left_of_the_deadline_and_no_more_than_its_limit(
    left: timedelta, deadline: timedelta
) -> None:
    scene = a_scene(left=left)
    await scene.handler(CLAIM)
    assert scene.processing.requests[0].deadline == deadline


@pytest.mark.parametrize("payload", [{}, {"job_id": None}, {"job_id": "7"}, {"job_id": "\x00"}])
async def test_work_that_names_no_job_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(UnreadableJobTask):
        await a_scene().handler(replace(CLAIM, payload=payload))
