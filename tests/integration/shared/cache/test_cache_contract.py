"""What every cache promises, kept by memory and by Redis alike."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
import pytest_asyncio

from shared.cache.memory import MemoryCache
from shared.cache.port import Cache
from shared.cache.redis import RedisCache
from tests.support.redis import RedisForTests

MINUTE = timedelta(minutes=1)


@pytest_asyncio.fixture(params=["memory", "redis"], loop_scope="session")
async def cache(
    request: pytest.FixtureRequest, redis_server: RedisForTests
) -> AsyncIterator[Cache]:
    if request.param == "memory":
        yield MemoryCache()
        return
    opened = RedisCache(redis_server.url, prefix=f"test:{uuid4().hex}:")
    yield opened
    await opened.aclose()


async def test_what_is_set_can_be_read_until_it_is_deleted(cache: Cache) -> None:
    assert await cache.get("k") is None
    await cache.set("k", b"\x00\xffv", MINUTE)
    assert await cache.get("k") == b"\x00\xffv"
    await cache.set("k", b"w", MINUTE)
    assert await cache.get("k") == b"w"
    await cache.delete("k")
    assert await cache.get("k") is None
    await cache.delete("k")


async def test_subscribers_hear_their_topics_from_now_on(cache: Cache) -> None:
    await cache.publish("a", b"too early")
    async with cache.subscribe("a", "b") as messages:
        await cache.publish("c", b"not ours")
        await cache.publish("a", b"1")
        await cache.publish("b", b"2")
        async with asyncio.timeout(5):
            assert [await anext(messages), await anext(messages)] == [b"1", b"2"]


async def test_every_subscriber_hears_everything(cache: Cache) -> None:
    async with cache.subscribe("a") as one, cache.subscribe("a") as two:
        await cache.publish("a", b"x")
        async with asyncio.timeout(5):
            assert (await anext(one), await anext(two)) == (b"x", b"x")


async def test_it_says_that_it_is_well(cache: Cache) -> None:
    assert await cache.healthy() is True


async def test_memory_forgets_in_time_and_keeps_to_its_size() -> None:
    time = [0.0]
    cache = MemoryCache(capacity=2, now=lambda: time[0])
    await cache.set("a", b"1", timedelta(seconds=10))
    time[0] = 9.9
    assert await cache.get("a") == b"1"
    time[0] = 10.0
    assert await cache.get("a") is None
    for key in ("b", "c", "d"):
        await cache.set(key, b"1", MINUTE)
    assert [await cache.get(key) for key in ("b", "c", "d")] == [None, b"1", b"1"]


async def test_redis_forgets_in_time(redis_server: RedisForTests) -> None:
    cache = RedisCache(redis_server.url, prefix=f"test:{uuid4().hex}:")
    await cache.set("a", b"1", timedelta(milliseconds=1))
    async with asyncio.timeout(5):
        while await cache.get("a") is not None:
            await asyncio.sleep(0)
    await cache.aclose()


async def test_without_a_server_nothing_is_found_and_nothing_fails() -> None:
    time = [0.0]
    with RedisForTests(private=True) as server:
        cache = RedisCache(server.url, now=lambda: time[0])
        async with cache.subscribe("t") as messages:
            await cache.set("k", b"v", MINUTE)
            assert await cache.get("k") == b"v"
            server.kill()
            assert await cache.get("k") is None
            await cache.set("k", b"w", MINUTE)
            await cache.delete("k")
            await cache.publish("t", b"lost")
            assert await cache.healthy() is False
            server.start()
            time[0] = 100.0  # the rest after a failure is over
            assert await cache.healthy() is True
            await cache.set("k", b"x", MINUTE)
            assert await cache.get("k") == b"x"
            waiting = asyncio.ensure_future(anext(messages))
            async with asyncio.timeout(15):
                while not waiting.done():  # until the subscription is back
                    await cache.publish("t", b"here")
                    await asyncio.sleep(0.01)
            assert waiting.result() == b"here"
        await cache.aclose()


async def test_a_failed_server_is_left_alone_for_a_moment() -> None:
    time = [0.0]
    with RedisForTests(private=True) as server:
        cache = RedisCache(server.url, now=lambda: time[0])
        await cache.set("k", b"v", MINUTE)
        server.kill()
        assert await cache.get("k") is None
        server.start()
        await cache.set("k", b"v", MINUTE)
        assert await cache.get("k") is None  # nobody asked
        time[0] = 100.0
        await cache.set("k", b"v", MINUTE)
        assert await cache.get("k") == b"v"
        await cache.aclose()


async def test_keys_are_listed_by_how_they_begin(cache: Cache) -> None:
    assert await cache.entries("a*:") == {}
    for key in ("a*:1", "a*:2", "ab:3", "b"):
        await cache.set(key, key.encode(), MINUTE)
    await cache.set("a*:gone", b"x", timedelta(milliseconds=1))
    async with asyncio.timeout(5):
        while await cache.get("a*:gone") is not None:
            await asyncio.sleep(0.01)
    assert await cache.entries("a*:") == {"a*:1": b"a*:1", "a*:2": b"a*:2"}
    assert len(await cache.entries("")) == 4
