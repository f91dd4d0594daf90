"""Jobs that are watched: their states, their text, and what watching leaves behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import orjson
import pytest
import pytest_asyncio

from gateway.application.dto.job_dto import JobDTO, JobStatusDTO
from gateway.application.listening import Heard, listening
from gateway.application.services.job_watch import (
    JobWatch,
    News,
    StatusNews,
    TextDelta,
    TextReset,
    stamp_of,
)
from gateway.bootstrap import Container, build
from shared.cache.memory import MemoryCache
from shared.cache.open import open_cache
from shared.config.settings import CacheSettings
from shared.jobs import delta_news, reset_news, status_news, topic
from tests.integration.gateway.conftest import Shop, a_key, settings_for
from tests.integration.gateway.jobs.test_job_routes import ASKED, move, submit
from tests.integration.gateway.test_serve import a_free_port, serving
from tests.support.postgres import TestDatabase
from tests.support.redis import RedisForTests

LONG = timedelta(minutes=5)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def container(gateway_db: TestDatabase) -> AsyncIterator[Container]:
    async with build(settings_for(gateway_db), asyncio.Event()) as built:
        yield built


@pytest.fixture
def cache(container: Container) -> MemoryCache:
    assert isinstance(container.cache, MemoryCache)
    return container.cache


@pytest_asyncio.fixture(loop_scope="session")
async def job(container: Container, shop: Shop) -> JobStatusDTO:
    async with container.open_jobs(shop.id) as work:
        job = await work.jobs.submit_job(JobDTO(prompt="Halo", stream=True))
        await work.commit()
    return job


@asynccontextmanager
async def watching(
    watch: JobWatch, shop: Shop, job: JobStatusDTO, *, seen: str | None = None
) -> AsyncIterator[AsyncIterator[News]]:
    """The news of a job; they are closed however the block is left, as a disconnect does it."""
    news = watch.news(shop.id, job, seen=seen, lasting=LONG)
    async with asyncio.timeout(30):
        try:
            yield news
        finally:
            await news.aclose()  # type: ignore[attr-defined] # an async generator


async def next_status(news: AsyncIterator[News]) -> tuple[str, int]:
    each = await anext(news)
    assert isinstance(each, StatusNews)
    return str(each.job.status), each.job.run


def a_patient(container: Container) -> JobWatch:
    """It never looks by itself: what it tells it was told by the cache."""
    return JobWatch(container.open_jobs, container.cache, container.stopping, poll=LONG)


async def test_states_and_text_come_in_order_and_the_job_ends_them(
    container: Container,
    cache: MemoryCache,
    shop: Shop,
    job: JobStatusDTO,
    gateway_db: TestDatabase,
) -> None:
    name = topic(shop.id, job.job_id)
    async with watching(a_patient(container), shop, job) as news:
        assert await next_status(news) == ("QUEUED", 0)
        await move(gateway_db, str(job.job_id), "PROCESSING")
        await cache.publish(name, status_news("PROCESSING", 1))
        assert await next_status(news) == ("PROCESSING", 1)
        await cache.publish(name, reset_news(1, 1))
        await cache.publish(name, delta_news(1, 1, "Ba"))
        await cache.publish(name, delta_news(1, 1, "ik."))
        assert [await anext(news) for _ in range(3)] == [
            TextReset(1, 1),
            TextDelta(1, 1, "Ba"),
            TextDelta(1, 1, "ik."),
        ]
        # another run: what the first one still writes is void
        await move(gateway_db, str(job.job_id), "QUEUED", "PROCESSING")
        await cache.publish(name, status_news("PROCESSING", 2))
        assert await next_status(news) == ("PROCESSING", 2)
        await cache.publish(name, delta_news(1, 1, "!"))
        await cache.publish(name, reset_news(2, 1))
        assert await anext(news) == TextReset(2, 1)
        # a word twice is news once
        await cache.publish(name, status_news("PROCESSING", 2))
        await move(gateway_db, str(job.job_id), "COMPLETED")
        await cache.publish(name, status_news("COMPLETED", 2))
        await cache.publish(name, status_news("COMPLETED", 2))
        last = await anext(news)
        assert isinstance(last, StatusNews)
        assert (last.job.status, last.job.result, last.stamp) == (
            "COMPLETED",
            "Baik.",
            "2-COMPLETED",
        )
        with pytest.raises(StopAsyncIteration):
            await anext(news)
    assert not cache._listeners


async def test_who_comes_back_is_not_told_what_was_seen(
    container: Container,
    shop: Shop,
    job: JobStatusDTO,
    cache: MemoryCache,
    gateway_db: TestDatabase,
) -> None:
    name = topic(shop.id, job.job_id)
    async with watching(a_patient(container), shop, job, seen=stamp_of(job)) as news:
        following = asyncio.ensure_future(anext(news))
        while not cache._listeners:
            await asyncio.sleep(0)
        await cache.publish(name, reset_news(1, 1))
        assert await following == TextReset(1, 1)
    await move(gateway_db, str(job.job_id), "PROCESSING", "FAILED")
    async with watching(a_patient(container), shop, job, seen="1-FAILED") as news:
        assert await next_status(news) == ("FAILED", 1), "the last word is said to everybody"
        with pytest.raises(StopAsyncIteration):
            await anext(news)


async def test_whoever_hangs_up_leaves_nothing_behind(
    container: Container, cache: MemoryCache, shop: Shop, job: JobStatusDTO
) -> None:
    tasks = asyncio.all_tasks()
    async with watching(container.job_watch, shop, job) as news:
        assert await next_status(news) == ("QUEUED", 0)
        reading = asyncio.ensure_future(anext(news))
        await asyncio.sleep(0)
        assert list(cache._listeners) == [topic(shop.id, job.job_id)]
        reading.cancel()
        await asyncio.wait([reading])
    assert not cache._listeners
    assert asyncio.all_tasks() <= tasks


async def test_text_with_a_gap_is_taken_back(
    container: Container, cache: MemoryCache, shop: Shop, job: JobStatusDTO
) -> None:
    """A reader that is slower than the writer by more than the backlog."""
    name = topic(shop.id, job.job_id)
    async with watching(a_patient(container), shop, job) as news:
        await next_status(news)
        following = asyncio.ensure_future(anext(news))
        await asyncio.sleep(0)
        for number in range(1200):
            await cache.publish(name, delta_news(1, 1, str(number)))
            if number % 100 == 99:
                await asyncio.sleep(0)
        assert await following == TextDelta(1, 1, "0")
        while (each := await anext(news)) != TextReset(1, 1):
            assert isinstance(each, TextDelta)
        await cache.publish(name, delta_news(1, 1, "the rest"))
        await cache.publish(name, reset_news(1, 2))
        assert await anext(news) == TextReset(1, 2)


async def test_what_is_not_taken_in_time_is_known_to_be_missing() -> None:
    heard = Heard()
    for number in range(1001):
        assert not heard.missed
        heard.put(b"%d" % number)
    assert heard.missed
    assert await heard.next(LONG) == b"0"
    async with listening(MemoryCache(), "nothing") as silent:
        assert await silent.next(timedelta(milliseconds=1)) is None


async def test_a_watch_ends_itself_and_with_the_process(
    container: Container, shop: Shop, job: JobStatusDTO
) -> None:
    short = container.job_watch.news(shop.id, job, seen=None, lasting=timedelta(0))
    assert [type(each) async for each in short] == [StatusNews]

    stopping = asyncio.Event()
    stopping.set()
    watch = JobWatch(container.open_jobs, container.cache, stopping, poll=LONG)
    async with watching(watch, shop, job) as news:
        assert [type(each) async for each in news] == [StatusNews]
    async with asyncio.timeout(10):
        assert (await watch.until_ended(shop.id, job, LONG)).status == "QUEUED"


async def test_watching_outlives_the_database(
    container: Container, shop: Shop, job: JobStatusDTO, gateway_db: TestDatabase
) -> None:
    """What was accepted is not refused because nobody can look."""
    watch = JobWatch(
        container.open_jobs, container.cache, container.stopping, poll=timedelta(seconds=0.05)
    )
    waiting = asyncio.create_task(watch.until_ended(shop.id, job, LONG))
    await gateway_db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = 'platform_app'"
    )
    await move(gateway_db, str(job.job_id), "PROCESSING", "COMPLETED")
    async with asyncio.timeout(20):
        assert (await waiting).result == "Baik."


# over the wire


@asynccontextmanager
async def events_of(
    http: httpx2.AsyncClient, job_id: str, headers: dict[str, str]
) -> AsyncIterator[AsyncIterator[tuple[str, str | None, Any]]]:
    """Name, id and data of each event."""
    path = f"/v1/jobs/{job_id}/events"
    async with http.stream("GET", path, headers=headers, timeout=30) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] in ("no-cache", "no-store")

        async def read() -> AsyncIterator[tuple[str, str | None, Any]]:
            event: dict[str, str] = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                elif "event" in event:
                    yield event["event"], event.get("id"), orjson.loads(event["data"])
                    event = {}

        yield read()


@pytest.mark.parametrize("shared_cache", [True, False])
async def test_a_job_is_watched_over_http(
    shared_cache: bool, gateway_db: TestDatabase, shop: Shop, redis_server: RedisForTests
) -> None:
    """Without a cache that others share, the poll finds what nobody tells."""
    url = redis_server.url if shared_cache else None
    cache_settings = CacheSettings(redis_url=url)
    settings = settings_for(gateway_db, http_port=a_free_port()).model_copy(
        update={"cache": cache_settings}
    )
    key = await a_key(gateway_db, shop)
    async with (
        serving(settings) as (http, _),
        open_cache(cache_settings) as cache,
        asyncio.timeout(40),
    ):
        job_id = (await submit(http, key, stream=True))["job_id"]
        async with events_of(http, job_id, key) as events:
            name, stamp, told = await anext(events)
            assert (name, stamp, told["status"]) == ("status", "0-QUEUED", "QUEUED")
            await move(gateway_db, job_id, "PROCESSING")
            name, stamp, told = await anext(events)
            assert (name, stamp, told["status"]) == ("status", "1-PROCESSING", "PROCESSING")
            if shared_cache:
                about = topic(shop.id, UUID(job_id))
                await cache.publish(about, reset_news(1, 1))
                await cache.publish(about, delta_news(1, 1, "Baik\nsekali"))
                reset, delta = await anext(events), await anext(events)
                assert reset == ("reset", None, {"run": 1, "attempt": 1})
                assert delta == ("delta", None, {"run": 1, "attempt": 1, "text": "Baik\nsekali"})
            await move(gateway_db, job_id, "COMPLETED")
            name, stamp, told = await anext(events)
            assert (name, stamp) == ("status", "1-COMPLETED")
            assert told == (await http.get(f"/v1/jobs/{job_id}", headers=key)).json()
            assert told["result"] == "Baik."
            with pytest.raises(StopAsyncIteration):
                await anext(events)
        async with events_of(http, job_id, key | {"last-event-id": "1-COMPLETED"}) as events:
            assert [stamp async for _, stamp, _ in events] == ["1-COMPLETED"]


async def test_who_hangs_up_while_waiting_is_waited_for_no_longer(
    gateway_db: TestDatabase, shop: Shop
) -> None:
    """The connection goes away; the answer to the same key is there at once."""
    settings = settings_for(gateway_db, http_port=a_free_port())
    key = await a_key(gateway_db, shop) | {"idempotency-key": "once"}
    async with serving(settings) as (http, _), asyncio.timeout(30):
        with pytest.raises(httpx2.ReadTimeout):
            await http.post("/v1/jobs?wait=60", json=ASKED, headers=key, timeout=1)
        while (
            again := await http.post("/v1/jobs?wait=60", json=ASKED, headers=key)
        ).status_code == 409:
            assert again.json()["code"] == "request_in_progress"
            await asyncio.sleep(0.05)
        assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    count = await gateway_db.fetchval("SELECT count(*) FROM jobs WHERE tenant_id = $1", shop.id)
    assert count == 1


async def test_a_stop_does_not_wait_for_those_who_wait(
    gateway_db: TestDatabase, shop: Shop
) -> None:
    settings = settings_for(gateway_db, http_port=a_free_port())
    key = await a_key(gateway_db, shop)
    async with serving(settings) as (http, stop), asyncio.timeout(15):
        waiting = asyncio.create_task(http.post("/v1/jobs?wait=60", json=ASKED, headers=key))
        while not await gateway_db.fetch("SELECT 1 FROM jobs WHERE tenant_id = $1", shop.id):
            await asyncio.sleep(0.02)
        stop.set()
        assert (await waiting).json()["status"] == "QUEUED"
