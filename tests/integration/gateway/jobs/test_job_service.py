"""Jobs over real rows: what goes in comes out, what is refused leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
import pytest_asyncio

from commerce_agent.application.queries.page import BadCursor, BadLimit, encode_cursor
from gateway.application.dto.job_dto import JobDTO, JobStatusDTO
from gateway.application.services.job_service import InvalidBatch, InvalidMoment
from gateway.domain.entities.job import (
    IllegalJobTransition,
    InvalidJob,
    JobNotFinished,
    JobNotFound,
    Pipeline,
)
from gateway.domain.repositories.job_repository import (
    BatchNotFound,
    JobChangedMeanwhile,
    JobFilter,
)
from gateway.domain.value_objects.job_id import JobId
from gateway.domain.value_objects.job_status import JobStatus
from gateway.domain.value_objects.plain_json import InvalidData
from gateway.domain.value_objects.prompt import InvalidPrompt
from gateway.infrastructure.persistence.job_repository import SqlJobRepository
from gateway.infrastructure.persistence.job_work import JobWork
from shared.cache.memory import MemoryCache
from shared.jobs import topic
from shared.kernel.ids import TenantId, new_id
from shared.persistence.database import Database, make_engine
from shared.persistence.unit_of_work import Transaction
from tests.support import rows
from tests.support.postgres import TestDatabase

OPEN = Callable[[], JobWork]
ASKED = JobDTO(prompt="Apa kabar?", config_name="offline")


@pytest.fixture
def cache() -> MemoryCache:
    return MemoryCache()


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(test_database: TestDatabase) -> TenantId:
    return await rows.a_tenant(test_database)


@pytest.fixture
def work(database: Database, cache: MemoryCache, tenant: TenantId) -> OPEN:
    return partial(JobWork, database, cache, tenant, ttl=timedelta(hours=1))


async def submit(work: OPEN, **changes: Any) -> JobStatusDTO:
    async with work() as unit:
        accepted = await unit.jobs.submit_job(replace(ASKED, **changes))
        await unit.commit()
    return accepted


async def look(work: OPEN, job_id: JobId) -> JobStatusDTO:
    async with work() as unit:
        return await unit.jobs.get_job(job_id)


async def everything(db: TestDatabase) -> dict[str, list[Any]]:
    tables = ("jobs", "job_batches", "queue_messages", "domain_events")
    return {table: await db.fetch(f"SELECT * FROM {table} ORDER BY id") for table in tables}


async def move(db: TestDatabase, job_id: UUID, *statuses: str) -> None:
    for status in statuses:
        await db.execute(
            "UPDATE jobs SET status = $2, run = run + ($2 = 'PROCESSING')::integer,"
            " result = CASE WHEN $2 = 'COMPLETED' THEN 'Baik.' END,"
            " error_code = CASE WHEN $2 = 'FAILED' THEN 'x' END,"
            " finished_at = CASE WHEN $2 IN ('COMPLETED', 'FAILED') THEN platform_now() END"
            " WHERE id = $1",
            job_id,
            status,
        )


async def test_a_job_its_work_and_its_event_are_there_together(
    work: OPEN, test_database: TestDatabase, tenant: TenantId
) -> None:
    accepted = await submit(work, priority=4)

    assert (accepted.status, accepted.run, accepted.result) == (JobStatus.QUEUED, 0, None)
    found = await everything(test_database)
    (task,) = found["queue_messages"]
    assert (task["queue"], task["kind"], task["key"], task["priority"]) == (
        "ai_tasks",
        "job.run",
        str(accepted.job_id),
        4,
    )
    assert orjson.loads(task["payload"]) == {"job_id": str(accepted.job_id)}
    (event,) = found["domain_events"]
    assert (event["name"], event["version"], event["tenant_id"]) == ("job.created", 1, tenant)
    assert orjson.loads(event["body"]) == {
        "job_id": str(accepted.job_id),
        "config_name": "offline",
        "retry_of": None,
        "batch_id": None,
    }


async def test_without_commit_there_is_nothing(work: OPEN, test_database: TestDatabase) -> None:
    before = await everything(test_database)
    async with work() as unit:
        await unit.jobs.submit_job(ASKED)
        await unit.jobs.submit_batch([ASKED])
    assert await everything(test_database) == before


async def test_every_field_that_goes_in_comes_out(
    database: Database, work: OPEN, tenant: TenantId
) -> None:
    accepted = await submit(
        work,
        prompt='Ceritakan "kopi" 🙂\n\\u0041',
        template_name="creative-writer",
        pipeline=Pipeline.MULTI,
        context={"is_followup": True, "history": [{"role": "user", "text": "hai"}]},
        needs_moderation=True,
        variables={"nama": {"depan": "Ani"}},
        max_retries=7,
        priority=-2,
        deadline_seconds=90.5,
        callback_url="https://toko.example/hook",
        metadata={"order": 7, "tags": ["a"], "none": None},
        stream=True,
    )
    async with Transaction(database, tenant) as tx:
        job = await SqlJobRepository(tx).get(accepted.job_id)

    assert JobStatusDTO.of(job) == accepted
    assert isinstance(job.id, JobId)
    assert job.stream
    assert job.prompt.content == 'Ceritakan "kopi" 🙂\n\\u0041'
    assert job.context == {"is_followup": True, "history": [{"role": "user", "text": "hai"}]}
    assert job.variables == {"nama": {"depan": "Ani"}}
    assert job.metadata == {"order": 7, "tags": ["a"], "none": None}
    assert (job.template_name, job.pipeline, job.needs_moderation) == (
        "creative-writer",
        Pipeline.MULTI,
        True,
    )
    assert (job.max_retries, job.priority, job.callback_url) == (
        7,
        -2,
        "https://toko.example/hook",
    )
    assert job.deadline_at - job.created_at == timedelta(seconds=90.5)


async def test_the_moments_are_the_databases(work: OPEN, test_database: TestDatabase) -> None:
    await test_database.jump(86_400)
    before = await test_database.fetchval("SELECT platform_now()")
    accepted = await submit(work)
    async with work() as unit:
        cancelled = await unit.jobs.cancel_job(accepted.job_id)
        await unit.commit()
    after = await test_database.fetchval("SELECT platform_now()")

    assert cancelled.finished_at is not None
    assert before <= accepted.created_at < cancelled.finished_at <= after
    assert accepted.deadline_at == accepted.created_at + timedelta(hours=1)
    assert (await look(work, accepted.job_id)) == cancelled


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"prompt": " "}, InvalidPrompt),
        ({"prompt": "a\0b"}, InvalidPrompt),
        ({"priority": 11}, InvalidJob),
        ({"deadline_seconds": float("nan")}, InvalidJob),
        ({"deadline_seconds": 1e300}, InvalidJob),
        ({"context": {"a": "\0"}}, InvalidData),
    ],
)
async def test_what_is_refused_leaves_nothing_behind(
    work: OPEN, test_database: TestDatabase, changes: dict[str, Any], error: type[Exception]
) -> None:
    before = await everything(test_database)
    async with work() as unit:
        with pytest.raises(error):
            await unit.jobs.submit_job(replace(ASKED, **changes))
        await unit.commit()
    assert await everything(test_database) == before


@pytest.mark.parametrize("stands", [(), ("PROCESSING",), ("PROCESSING", "RETRYING")])
async def test_what_has_not_ended_can_be_cancelled(
    work: OPEN, test_database: TestDatabase, cache: MemoryCache, tenant: TenantId, stands: Any
) -> None:
    accepted = await submit(work)
    await move(test_database, accepted.job_id, *stands)
    async with cache.subscribe(topic(tenant, accepted.job_id)) as told:
        async with work() as unit:
            cancelled = await unit.jobs.cancel_job(accepted.job_id)
            await unit.commit()
        message = orjson.loads(await asyncio.wait_for(anext(told), 10))

    assert cancelled.status is JobStatus.CANCELLED
    assert cancelled.finished_at is not None
    assert message == {"type": "status", "status": "CANCELLED", "run": 1 if stands else 0}
    assert await look(work, accepted.job_id) == cancelled
    names = await test_database.fetch("SELECT name FROM domain_events ORDER BY tx, id")
    assert [row["name"] for row in names] == ["job.created", "job.cancelled"]


async def test_nobody_is_told_of_what_was_not_committed(
    work: OPEN, cache: MemoryCache, tenant: TenantId
) -> None:
    accepted = await submit(work)
    async with cache.subscribe(topic(tenant, accepted.job_id)) as told:
        async with work() as unit:
            await unit.jobs.cancel_job(accepted.job_id)
        await cache.publish(topic(tenant, accepted.job_id), b"the end")
        assert await asyncio.wait_for(anext(told), 10) == b"the end"
    assert (await look(work, accepted.job_id)).status is JobStatus.QUEUED


async def test_cancelling_twice_changes_nothing(work: OPEN, test_database: TestDatabase) -> None:
    accepted = await submit(work)
    async with work() as unit:
        await unit.jobs.cancel_job(accepted.job_id)
        await unit.commit()
    before = await everything(test_database)
    async with work() as unit:
        await unit.jobs.cancel_job(accepted.job_id)
        await unit.commit()
    assert await everything(test_database) == before


@pytest.mark.parametrize("ended", [("PROCESSING", "COMPLETED"), ("FAILED",)])
async def test_what_has_ended_is_not_cancelled(
    work: OPEN, test_database: TestDatabase, ended: Any
) -> None:
    accepted = await submit(work)
    await move(test_database, accepted.job_id, *ended)
    before = await everything(test_database)
    async with work() as unit:
        with pytest.raises(IllegalJobTransition):
            await unit.jobs.cancel_job(accepted.job_id)
        await unit.commit()
    assert await everything(test_database) == before


@pytest.mark.parametrize("moved", [("PROCESSING",), ("PROCESSING", "QUEUED", "PROCESSING")])
async def test_a_job_that_moved_on_is_not_overwritten(
    database: Database, work: OPEN, test_database: TestDatabase, tenant: TenantId, moved: Any
) -> None:
    """Read in one state and run, saved in another: the fence refuses."""
    accepted = await submit(work)
    if len(moved) > 1:
        await move(test_database, accepted.job_id, "PROCESSING")
    async with Transaction(database, tenant) as tx:
        jobs = SqlJobRepository(tx)
        job = await jobs.get(accepted.job_id)
        await move(test_database, accepted.job_id, *moved[-2:])
        before = await everything(test_database)
        job.cancel(at=job.created_at)
        with pytest.raises(JobChangedMeanwhile):
            await jobs.save(job)
        await tx.commit()
    assert await everything(test_database) == before


async def test_who_changes_a_job_waits_for_the_one_before(
    database: Database, work: OPEN, tenant: TenantId
) -> None:
    accepted = await submit(work)
    async with work() as first, work() as second:
        await first.jobs.cancel_job(accepted.job_id)
        waiting = asyncio.create_task(second.jobs.cancel_job(accepted.job_id))
        await _until_blocked(database)
        assert not waiting.done()
        await first.commit()
        assert (await waiting).status is JobStatus.CANCELLED


async def test_every_verb_is_saved(database: Database, work: OPEN, tenant: TenantId) -> None:
    accepted = await submit(work)
    async with Transaction(database, tenant) as tx:
        jobs = SqlJobRepository(tx)
        job = await jobs.get_for_change(accepted.job_id)
        job.start(at=job.created_at)
        await jobs.save(job)
        job.mark_for_retry(5, at=job.created_at, error="Busy.")
        await jobs.save(job)
        job.requeue(at=job.created_at)
        await jobs.save(job)
        job.start(at=job.created_at)
        await jobs.save(job)
        job.tokens_in, job.tokens_out, job.cost_nanos = 3, 4, 5
        job.moderation, job.template_version = {"verdict": "allowed"}, 2
        job.complete("Baik.", "followup", at=job.created_at)
        await jobs.save(job)
        saved = JobStatusDTO.of(job)
        await tx.commit()

    assert (saved.run, saved.retry_count, saved.tokens, saved.cost_nanos) == (2, 1, 7, 5)
    assert await look(work, accepted.job_id) == saved


async def test_a_finished_job_is_remembered_and_only_that(
    work: OPEN, test_database: TestDatabase
) -> None:
    going, ended = await submit(work, metadata={"a": 1}), await submit(work, metadata={"a": 2})
    await move(test_database, ended.job_id, "PROCESSING", "COMPLETED")
    first = [await look(work, job.job_id) for job in (going, ended)]
    await test_database.execute("DELETE FROM jobs")

    assert await look(work, ended.job_id) == first[1]
    assert (first[1].status, first[1].result) == (JobStatus.COMPLETED, "Baik.")
    with pytest.raises(JobNotFound):
        await look(work, going.job_id)


async def test_another_tenant_finds_and_changes_nothing(
    work: OPEN, database: Database, cache: MemoryCache, test_database: TestDatabase
) -> None:
    accepted = await submit(work)
    await move(test_database, accepted.job_id, "PROCESSING", "COMPLETED")
    await look(work, accepted.job_id)
    async with work() as unit:
        batch = await unit.jobs.submit_batch([ASKED])
        await unit.commit()
    before = await everything(test_database)
    stranger = await rows.a_tenant(test_database)
    async with JobWork(database, cache, stranger, ttl=timedelta(hours=1)) as unit:
        for verb in (unit.jobs.get_job, unit.jobs.cancel_job, unit.jobs.retry_job):
            with pytest.raises(JobNotFound):
                await verb(accepted.job_id)
        with pytest.raises(BatchNotFound):
            await unit.jobs.get_batch(batch.batch_id)
        assert (await unit.jobs.list_jobs(JobFilter())).data == ()
        await unit.commit()
    assert await everything(test_database) == before


async def test_the_filter_keeps_tenants_apart_by_itself(
    work: OPEN, test_database: TestDatabase
) -> None:
    """Without the second wall: row-level security lets the owner see all tenants."""
    accepted = await submit(work)
    stranger = await rows.a_tenant(test_database)
    engine = make_engine(test_database.owner_url)
    async with Transaction(Database(engine), stranger) as tx:
        jobs = SqlJobRepository(tx)
        assert await jobs.find(accepted.job_id) is None
        assert await jobs.list(JobFilter(), limit=9) == []
        with pytest.raises(BatchNotFound):
            await jobs.get_batch(new_id())
    await engine.dispose()


async def test_what_has_ended_is_done_again_as_a_new_job(
    work: OPEN, test_database: TestDatabase
) -> None:
    accepted = await submit(work, deadline_seconds=60, metadata={"a": 1}, priority=3)
    await move(test_database, accepted.job_id, "FAILED")
    async with work() as unit:
        again = await unit.jobs.retry_job(accepted.job_id)
        await unit.commit()

    assert (again.retry_of, again.status, again.metadata, again.priority) == (
        accepted.job_id,
        JobStatus.QUEUED,
        {"a": 1},
        3,
    )
    assert again.deadline_at - again.created_at == timedelta(seconds=60)
    assert await look(work, again.job_id) == again
    keys = await test_database.fetch("SELECT key FROM queue_messages ORDER BY id")
    assert [row["key"] for row in keys] == [str(accepted.job_id), str(again.job_id)]


async def test_what_goes_on_is_not_done_again(work: OPEN, test_database: TestDatabase) -> None:
    accepted = await submit(work)
    before = await everything(test_database)
    async with work() as unit:
        with pytest.raises(JobNotFinished):
            await unit.jobs.retry_job(accepted.job_id)
        await unit.commit()
    assert await everything(test_database) == before


async def test_a_batch_is_accepted_whole(work: OPEN, test_database: TestDatabase) -> None:
    dtos = [replace(ASKED, prompt=f"Nomor {number}") for number in range(1000)]
    async with work() as unit:
        batch = await unit.jobs.submit_batch(dtos, {"file": "a.jsonl"})
        await unit.commit()

    assert (batch.total, batch.finished, batch.counts) == (1000, 0, {JobStatus.QUEUED: 1000})
    assert batch.metadata == {"file": "a.jsonl"}
    queued = await test_database.fetch(
        "SELECT j.prompt FROM jobs j JOIN queue_messages q ON q.key = j.id::text"
        " WHERE j.batch_id = $1 ORDER BY j.id",
        batch.batch_id,
    )
    assert [row["prompt"] for row in queued] == [dto.prompt for dto in dtos]
    assert await test_database.fetchval("SELECT count(*) FROM domain_events") == 1000


async def test_a_batch_counts_where_its_jobs_stand(work: OPEN, test_database: TestDatabase) -> None:
    async with work() as unit:
        made = await unit.jobs.submit_batch([ASKED] * 4)
        listed = (await unit.jobs.list_jobs(JobFilter(batch_id=made.batch_id))).data
        await unit.commit()
    await submit(work)
    await move(test_database, listed[0].job_id, "PROCESSING", "COMPLETED")
    await move(test_database, listed[1].job_id, "FAILED")
    await move(test_database, listed[2].job_id, "PROCESSING")
    async with work() as unit:
        batch = await unit.jobs.get_batch(made.batch_id)

    assert batch == replace(
        made,
        job_ids=(),  # only the answer to its submission names them
        finished=2,
        counts={
            JobStatus.COMPLETED: 1,
            JobStatus.FAILED: 1,
            JobStatus.PROCESSING: 1,
            JobStatus.QUEUED: 1,
        },
    )


@pytest.mark.parametrize(
    ("dtos", "data"),
    [
        ([], {}),
        ([ASKED] * 1001, {}),
        ([ASKED, replace(ASKED, prompt="")], {"index": 1, "reason": "invalid_prompt"}),
        ([replace(ASKED, priority=99), ASKED], {"index": 0, "reason": "invalid_job"}),
    ],
)
async def test_a_batch_is_refused_whole(
    work: OPEN, test_database: TestDatabase, dtos: Any, data: Any
) -> None:
    before = await everything(test_database)
    async with work() as unit:
        with pytest.raises(InvalidBatch) as refused:
            await unit.jobs.submit_batch(dtos)
        await unit.commit()
    assert refused.value.data == data
    assert await everything(test_database) == before


async def test_a_batch_that_is_not_there_is_not_found(work: OPEN) -> None:
    async with work() as unit:
        with pytest.raises(BatchNotFound):
            await unit.jobs.get_batch(uuid4())


@pytest_asyncio.fixture(loop_scope="session")
async def seven(work: OPEN, test_database: TestDatabase) -> AsyncIterator[list[JobId]]:
    """Seven jobs, the oldest first; number 3 and 4 at the same moment."""
    made = [
        await submit(
            work,
            config_name="offline" if number % 2 else "default-smart",
            metadata={"parity": number % 2, "number": number},
        )
        for number in range(7)
    ]
    ids = [job.job_id for job in made]
    for number, job_id in enumerate(ids):
        await test_database.execute(
            "UPDATE jobs SET created_at = $2 WHERE id = $1",
            job_id,
            DAY + timedelta(seconds=min(number, 3) if number < 5 else number),
        )
    yield ids


DAY = datetime.fromisoformat("2026-11-25T10:00:00+00:00")


async def listed(work: OPEN, limit: int = 50, **which: Any) -> list[JobId]:
    async with work() as unit:
        page = await unit.jobs.list_jobs(JobFilter(**which), limit=limit)
    return [job.job_id for job in page.data]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
async def test_pages_join_without_gap_or_repeat(work: OPEN, seven: list[JobId], limit: int) -> None:
    seen: list[JobId] = []
    cursor = None
    while True:
        async with work() as unit:
            page = await unit.jobs.list_jobs(JobFilter(), limit=limit, cursor=cursor)
        assert len(page.data) <= limit
        seen += [job.job_id for job in page.data]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == seven[::-1]


async def test_filters_choose(work: OPEN, seven: list[JobId], test_database: TestDatabase) -> None:
    await move(test_database, seven[2], "FAILED")
    await move(test_database, seven[5], "PROCESSING")

    async def chosen(**which: Any) -> list[int]:
        return [seven.index(job_id) for job_id in await listed(work, **which)]

    failed, processing = JobStatus.FAILED, JobStatus.PROCESSING
    assert await chosen(statuses=frozenset({failed})) == [2]
    assert await chosen(statuses=frozenset({failed, processing})) == [5, 2]
    assert await chosen(config_name="offline") == [5, 3, 1]
    assert await chosen(metadata={"parity": 0}) == [6, 4, 2, 0]
    assert await chosen(metadata={"parity": 0, "number": 4}) == [4]
    assert await chosen(metadata={"parity": "0"}) == []
    assert await chosen(created_from=DAY + timedelta(seconds=3)) == [6, 5, 4, 3]
    assert await chosen(created_before=DAY + timedelta(seconds=3)) == [2, 1, 0]
    assert await chosen(config_name="offline", statuses=frozenset({processing})) == [5]
    assert await chosen(batch_id=uuid4()) == []


A_JOB = UUID("01a21261-6a05-780b-9234-22d4fd0e365d")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        encode_cursor(id=A_JOB),
        encode_cursor(at="2026-11-25T10:00:00", id=A_JOB),
        encode_cursor(at="2026-11-25T10:00:00+00:00", id="x"),
        encode_cursor(at="never", id=A_JOB),
        encode_cursor(at="0001-01-01T00:00:00+14:00", id=A_JOB),
    ],
)
async def test_a_made_up_cursor_is_refused(work: OPEN, cursor: str) -> None:
    async with work() as unit:
        with pytest.raises(BadCursor):
            await unit.jobs.list_jobs(JobFilter(), cursor=cursor)


async def test_a_list_has_limits(work: OPEN) -> None:
    async with work() as unit:
        for limit in (0, 201):
            with pytest.raises(BadLimit):
                await unit.jobs.list_jobs(JobFilter(), limit=limit)
        with pytest.raises(InvalidData):
            await unit.jobs.list_jobs(JobFilter(metadata={"a": "\0"}))
        for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-25"):
            for field in ("created_from", "created_before"):
                with pytest.raises(InvalidMoment) as refused:
                    await unit.jobs.list_jobs(JobFilter(**{field: datetime.fromisoformat(moment)}))
                assert refused.value.data == {"field": field}


async def _until_blocked(database: Database) -> None:
    """Until another session waits for a row, which only the database knows."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with asyncio.timeout(10), database.engine.connect() as connection:
        while not (await connection.exec_driver_sql(query)).scalar_one():
            await asyncio.sleep(0.01)
