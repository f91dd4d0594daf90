"""A messenger over a real database, a real queue and a fake WAHA; its time belongs to the test."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from messenger.bootstrap import make_routes
from shared.cache.memory import MemoryCache
from shared.config.settings import PlatformSettings, SecuritySettings
from shared.kernel.ids import SendId
from shared.messaging.consume import consume
from shared.messaging.port import Claim, Queue, TaskQueue
from shared.messaging.queues import open_queue
from shared.messaging.waker import open_waker
from shared.persistence.database import Database, open_database
from shared.security.outbound import safe_transport
from tests.support import rows
from tests.support.fake_waha import FakeWaha
from tests.support.postgres import TestDatabase
from tests.support.waha_webhooks import Engine


class OneRound:
    """A queue that is left as soon as nothing is due any more."""

    def __init__(self, inner: TaskQueue, stop: asyncio.Event) -> None:
        self._inner, self._stop = inner, stop
        self.claims: list[Claim] = []

    async def claim(
        self, queue: Queue, limit: int, *, wait: timedelta, attempts_below: int | None = None
    ) -> Sequence[Claim]:
        claims = await self._inner.claim(
            queue, limit, wait=timedelta(0), attempts_below=attempts_below
        )
        self.claims.extend(claims)
        if not claims:
            self._stop.set()
        return claims

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@dataclass
class Desk:
    """Everything a messenger test touches."""

    db: TestDatabase
    database: Database
    queue: TaskQueue
    waha: FakeWaha
    cache: MemoryCache
    settings: PlatformSettings
    transport: Any
    slept: list[float] = field(default_factory=list)
    now: float = 0.0
    """The process's monotonic clock."""
    conversation: rows.Conversation = None  # type: ignore[assignment]

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    @property
    def routes(self) -> Any:
        """A messenger that has just started: nothing remembered from earlier ones."""
        return make_routes(
            self.settings,
            self.database,
            self.cache,
            self.transport,
            monotonic=lambda: self.now,
            sleep=self.sleep,
            random=Random(7),
        )

    async def work(self) -> int:
        """Handle everything that is due, until nothing is; how many claims that took."""
        total, routes = 0, self.routes
        while True:
            stop = asyncio.Event()
            one_round = OneRound(self.queue, stop)
            await consume(
                one_round,
                [Queue.WA_MESSAGES],
                routes,
                stop=stop,
                settings=self.settings.queue,
            )
            total += len(one_round.claims)
            if not one_round.claims:
                return total

    async def claim(self) -> Claim:
        """Take a row as a messenger would that then does nothing."""
        (claim,) = await self.queue.claim(Queue.WA_MESSAGES, 1, wait=timedelta(0))
        return claim

    async def send(self, send_id: SendId) -> asyncpg.Record:
        (row,) = await self.db.fetch("SELECT * FROM sends WHERE id = $1", send_id)
        return row

    async def states(self, *send_ids: SendId) -> list[str]:
        return [(await self.send(send_id))["state"] for send_id in send_ids]

    async def queued(self, queue: str = "wa_messages") -> list[asyncpg.Record]:
        return await self.db.fetch(
            "SELECT *, available_at - platform_now() AS due_in FROM queue_messages"
            " WHERE queue = $1 ORDER BY position",
            queue,
        )

    async def events(self) -> list[str]:
        found = await self.db.fetch("SELECT name FROM domain_events ORDER BY id")
        return [row["name"] for row in found]


@pytest.fixture
def engine() -> Engine:
    return "NOWEB"


@pytest_asyncio.fixture(loop_scope="session")
async def waha(engine: Engine) -> AsyncIterator[FakeWaha]:
    async with FakeWaha(engine=engine) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def desk(test_database: TestDatabase, waha: FakeWaha) -> AsyncIterator[Desk]:
    settings = PlatformSettings(
        database=test_database.settings,
        security=SecuritySettings(master_key=rows.MASTER_KEY, outbound_allow_hosts=(waha.host,)),
    )
    async with (
        open_waker(settings.database) as waker,
        open_database(settings.database, waker) as database,
        open_queue(settings.queue, database, waker) as queue,
        safe_transport((waha.host,)) as transport,
    ):
        desk = Desk(
            db=test_database,
            database=database,
            queue=queue,
            waha=waha,
            cache=MemoryCache(),
            settings=settings,
            transport=transport,
        )
        tenant = await rows.a_tenant(test_database)
        channel = await rows.a_channel(test_database, tenant, base_url=waha.url)
        desk.conversation = await rows.a_conversation(test_database, tenant, channel)
        yield desk
