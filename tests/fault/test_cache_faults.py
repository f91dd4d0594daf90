"""What Redis may do, while customers write: it holds what can be forgotten, so nothing depends on
it. (What the broker may lose is in `test_broker_faults`.)"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests.fault.live_platform import (
    Customers,
    Live,
    open_live,
    until,
)
from tests.integration.gateway.conftest import is_problem
from tests.support.fake_waha import FakeWaha
from tests.support.fault_proxy import FaultProxy
from tests.support.postgres import TestDatabase
from tests.support.redis import RedisForTests
from tests.support.waha_webhooks import CUSTOMER

FAULTS = {
    "down": lambda proxy: (proxy.refuse(), proxy.reset()),
    "slow": lambda proxy: proxy.delay(2),
    "black hole": lambda proxy: proxy.black_hole(),
}


@pytest.fixture(scope="module")
def redis_of_our_own() -> Iterator[RedisForTests]:
    with RedisForTests(private=True) as server:
        yield server


@dataclass(frozen=True, kw_only=True)
class Wired:
    """A platform whose cache is behind the proxy; ``redis`` goes straight to it."""

    live: Live
    proxy: FaultProxy
    redis: Redis

    async def says(self, *texts: str) -> None:
        """The customer writes, and waits for each answer."""
        for text in texts:
            await self.live.receives(self.live.hooks.message(text))
            await until(lambda said=f"Jawaban untuk: {text}": said in self.live.said(), seconds=60)

    def past(self, text: str) -> list[str]:
        """What had been said before, as the turn knew it that answered ``text``."""
        agent = self.live.agent
        number = agent.seen.index([text])
        return [said.text for said in agent.turns[number].history]

    async def contexts(self) -> dict[bytes, bytes]:
        """What the cache holds of conversations."""
        keys = [key async for key in self.redis.scan_iter("aip:conversation-context:*")]
        return {key: await self.redis.get(key) for key in keys}


@pytest_asyncio.fixture(loop_scope="session")
async def wired(
    redis_of_our_own: RedisForTests, test_database: TestDatabase
) -> AsyncIterator[Wired]:
    url = redis_of_our_own.url
    assert url
    async with (
        _client(url) as redis,
        FaultProxy.before(url) as proxy,
        FakeWaha() as waha,
        open_live(test_database, waha, cache={"redis_url": proxy.address(url)}) as live,
    ):
        await redis.flushall()
        yield Wired(live=live, proxy=proxy, redis=redis)


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[Redis]:
    redis = Redis.from_url(url)
    try:
        yield redis
    finally:
        await redis.aclose()


PAST = ["satu", "Jawaban untuk: satu", "dua", "Jawaban untuk: dua"]


async def test_row_15_a_flushed_cache_makes_no_answer_wrong(wired: Wired) -> None:
    await wired.says("satu", "dua")
    assert len(await wired.contexts()) == 1
    await wired.redis.flushall()
    await wired.says("tiga")

    assert wired.past("tiga") == PAST
    assert len(await wired.contexts()) == 1, "it learns again"
    await wired.live.rest()


async def test_row_15_a_cache_that_holds_something_else_makes_no_answer_wrong(
    wired: Wired,
) -> None:
    await wired.says("satu")
    [(key, older)] = (await wired.contexts()).items()
    await wired.says("dua")
    await wired.redis.set(key, older)
    await wired.says("tiga")
    await wired.redis.set(key, b"\xff{")
    await wired.says("empat")
    await wired.redis.set(key, b'{"stamp":1,"history":[[1]]}')
    await wired.says("lima")

    assert wired.past("tiga") == PAST
    assert wired.past("empat") == [*PAST, "tiga", "Jawaban untuk: tiga"]
    assert wired.past("lima")[-4:] == [
        "tiga", "Jawaban untuk: tiga", "empat", "Jawaban untuk: empat"
    ]  # fmt: skip
    await wired.live.rest()


@pytest.mark.parametrize(
    "fault",
    [
        "down",
        pytest.param("slow", marks=pytest.mark.whole),
        pytest.param("black hole", marks=pytest.mark.whole),
    ],
)
async def test_row_15_a_cache_in_trouble_leaves_accepting_answering_and_keys_as_they_are(
    fault: str, wired: Wired
) -> None:
    live = wired.live
    await wired.says("satu", "dua")
    FAULTS[fault](wired.proxy)

    customers = Customers(live)
    for _ in range(5):
        await customers.one()
    customers.assert_all_accepted()
    await wired.says("tiga")
    assert wired.past("tiga") == PAST
    await customers.all_answered()

    assert (await live.reads()).status == 200
    for key in ("", "Bearer aip_unknown", f"{live.key['authorization']}x"):
        refused = await live.http.get(
            f"/v1/crm/tenants/{live.tenant}/customers", headers={"authorization": key}
        )
        is_problem(refused, 401, "unauthorized")
    await live.db.execute("UPDATE api_keys SET revoked_at = platform_now()")
    await until(lambda: _is_refused(live))

    assert not await _cache_is_there(live)
    assert live.logged("cache_away")
    wired.proxy.pass_through()
    await until(lambda: _cache_is_there(live))
    assert live.logged("cache_back")
    await wired.says("empat")
    assert wired.past("empat") == [*PAST, "tiga", "Jawaban untuk: tiga"]
    assert live.said(CUSTOMER) == [
        f"Jawaban untuk: {text}" for text in ("satu", "dua", "tiga", "empat")
    ]
    await live.rest()


async def _cache_is_there(live: Live) -> bool:
    """As the gateway says, which is ready without it too."""
    ready = await live.http.get("/ready")
    assert ready.status_code == 200
    checked = ready.json()["checks"]["cache"]
    assert checked in ("ok", "degraded")
    return bool(checked == "ok")


async def _is_refused(live: Live) -> bool:
    return (await live.reads()).status == 401
