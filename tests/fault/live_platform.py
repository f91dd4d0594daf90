"""The platform at work in this process: gateway, commerce agent and messenger, each with
connections of its own, as their processes have them. Work is done as it comes.

    async with open_live(database, waha, queue={"rabbitmq_url": proxy.address(url)}) as live:
        await live.receives(live.hooks.message("halo"))
        await until(lambda: live.said() == ["Jawaban untuk: halo"])
        await live.rest()

Where `whole_path` moves the clock, this one waits: leases, sweeps and pauses are short by settings.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import httpx2
from structlog.testing import capture_logs

from commerce_agent import worker as commerce_agent
from commerce_agent.bootstrap import build as build_agent
from messenger.bootstrap import build as build_messenger
from shared.config.settings import (
    CacheSettings,
    ConversationSettings,
    PlatformSettings,
    QueueSettings,
    SecuritySettings,
    WahaSettings,
)
from shared.kernel.ids import ChannelId, TenantId, new_id
from shared.messaging.consume import consume
from shared.messaging.platform import open_work
from shared.messaging.port import Queue
from shared.security import api_keys
from tests.integration.gateway.conftest import PEPPER, running
from tests.support import rows
from tests.support.auditor import Auditor
from tests.support.fake_waha import FakeWaha
from tests.support.postgres import TestDatabase
from tests.support.scripted_agent import ScriptedAgent
from tests.support.waha_webhooks import CUSTOMER, Webhook, Webhooks

PATIENCE = 20.0
AT_ONCE = 1.0
"""The gateway answers within this time, whatever happens behind it; on a machine as busy as those
that run tests most of its answers do."""
ANY_TIMEOUT = 4.0
"""Less than the shortest time that anything behind the gateway is waited for."""


async def until(holds: Callable[[], Any], *, seconds: float = PATIENCE) -> float:
    """Wait until something is true; after how many seconds it was. ``holds`` may be a coroutine
    function."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(seconds):
        while True:
            answer = holds()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return loop.time() - began
            await asyncio.sleep(0.02)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What one request was answered, and after how many seconds."""

    status: int
    seconds: float
    retry_after: str | None
    webhook: Webhook | None = None


@dataclass(frozen=True, kw_only=True)
class Live:
    """One shop with one number on the platform."""

    db: TestDatabase
    settings: PlatformSettings
    http: httpx2.AsyncClient
    agent: ScriptedAgent
    waha: FakeWaha
    auditor: Auditor
    log: list[Any]
    """What all services have logged."""
    tenant: TenantId
    channel: ChannelId
    key: Mapping[str, str] = field(repr=False)
    """Headers of the shop's API key."""
    hooks: Webhooks = field(default_factory=lambda: Webhooks(push_name=None))

    @property
    def webhook(self) -> str:
        return f"/v1/crm/webhook/whatsapp/{self.tenant}/{self.channel}"

    async def deliver(self, webhook: Webhook) -> Answered:
        """Post a webhook as WAHA does; what was accepted is told to the auditor."""
        answer = await self._timed(
            lambda: self.http.post(self.webhook, content=webhook.body, headers=webhook.headers),
            webhook,
        )
        if answer.status == 200:
            self.auditor.accepted(self.tenant, webhook.body)
        return answer

    async def receives(self, *webhooks: Webhook) -> None:
        """Deliver one after the other; each is accepted."""
        for webhook in webhooks:
            assert (await self.deliver(webhook)).status == 200

    async def reads(self, path: str = "/customers") -> Answered:
        """Ask the API for one of the shop's lists."""
        url = f"/v1/crm/tenants/{self.tenant}{path}"
        return await self._timed(lambda: self.http.get(url, headers=self.key))

    async def _timed(
        self, ask: Callable[[], Awaitable[httpx2.Response]], webhook: Webhook | None = None
    ) -> Answered:
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = await ask()
        return Answered(
            status=answer.status_code,
            seconds=loop.time() - began,
            retry_after=answer.headers.get("retry-after"),
            webhook=webhook,
        )

    def said(self, chat: str = CUSTOMER) -> list[str | None]:
        """What the customer got."""
        return self.waha.texts(chat)

    def logged(self, event: str) -> list[Any]:
        return [line for line in self.log if line["event"] == event]

    async def count(self, table: str, where: str = "true") -> int:
        number = await self.db.fetchval(f"SELECT count(*) FROM {table} WHERE {where}")
        assert isinstance(number, int)
        return number

    async def rest(self, *, seconds: float = PATIENCE) -> None:
        """Wait until no work is left, and let the auditor look."""

        async def nothing_left() -> bool:
            return await self.count("queue_messages") == 0

        await until(nothing_left, seconds=seconds)
        await self.auditor.assert_clean()


class Customers:
    """Writing all the time, each message from another number. ``answers`` is what their deliveries
    got; what was refused is delivered again by `try_again`, as WAHA does."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self.answers: list[Answered] = []

    def chat(self, number: int) -> str:
        return f"6281{number:09}@c.us"

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]

    async def one(self) -> None:
        number = len(self.answers)
        message = self._live.hooks.message(f"pesan {number}", chat=self.chat(number))
        self.answers.append(await self._live.deliver(message))

    @asynccontextmanager
    async def writing(self, *, every: float = 0.25) -> AsyncIterator[None]:
        delivering = asyncio.Lock()

        async def write() -> None:
            while True:
                async with delivering:
                    await self.one()
                await asyncio.sleep(every)

        async with at_work(write()):
            yield
            await delivering.acquire()  # a delivery that is under way gets its answer

    async def try_again(self) -> None:
        """Deliver again what was refused; now it is accepted."""
        for answer in self.answers:
            if answer.status != 200:
                assert answer.webhook is not None
                await self._live.receives(answer.webhook)

    def assert_all_accepted(self) -> None:
        assert set(self.statuses) == {200}
        assert_prompt(self.answers)

    async def are_answered_again(self, *, seconds: float) -> float:
        """Wait for the next answer; after how many seconds it was there."""
        before = len(self._live.waha.texts())
        return await until(lambda: len(self._live.waha.texts()) > before, seconds=seconds)

    async def all_answered(self) -> None:
        """Wait until each has exactly one answer."""
        everybody = range(len(self.answers))
        await until(lambda: all(self._live.said(self.chat(n)) for n in everybody), seconds=60)
        for number in everybody:
            assert self._live.said(self.chat(number)) == [f"Jawaban untuk: pesan {number}"]


def assert_prompt(answers: Sequence[Answered]) -> None:
    """Nobody waited for a timeout; who was refused knows when to come again."""
    assert median(answer.seconds for answer in answers) < AT_ONCE
    assert max(answer.seconds for answer in answers) < ANY_TIMEOUT
    for answer in answers:
        assert answer.status in (200, 503)
        assert answer.status == 200 or int(answer.retry_after or 0) >= 1


@asynccontextmanager
async def at_work(doing: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Something that goes on beside the block."""
    task = asyncio.create_task(doing)
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.wait({task})


@asynccontextmanager
async def open_live(
    db: TestDatabase,
    waha: FakeWaha,
    *,
    database_url: str | None = None,
    cache: Mapping[str, Any] | None = None,
    queue: Mapping[str, Any] | None = None,
    conversation: Mapping[str, Any] | None = None,
) -> AsyncIterator[Live]:
    """Start everything, with one shop. ``database_url`` is where the services find ``db``."""
    through = db.settings.model_copy(
        update={"database_url": type(db.settings.database_url)(database_url or db.url)}
    )
    settings = PlatformSettings(
        database=through,
        cache=CacheSettings(**dict(cache or {})),
        queue=QueueSettings(**{**_QUEUE, **dict(queue or {})}),
        security=SecuritySettings(
            master_key=rows.MASTER_KEY, api_key_pepper=PEPPER, outbound_allow_hosts=(waha.host,)
        ),
        conversation=ConversationSettings(**{**_CONVERSATION, **dict(conversation or {})}),
        waha=WahaSettings(send_pace_seconds=0, typing_seconds_per_character=0),
    )
    tenant = await rows.a_tenant(db)
    channel = await rows.a_channel(db, tenant, base_url=waha.url)
    agent = ScriptedAgent()
    async with AsyncExitStack() as opened:
        log = opened.enter_context(capture_logs())
        http = await opened.enter_async_context(running(settings))
        await opened.enter_async_context(_commerce_agent(settings, agent))
        await opened.enter_async_context(_messenger(settings))
        yield Live(
            db=db,
            settings=settings,
            http=http,
            agent=agent,
            waha=waha,
            auditor=Auditor(db, wahas=[waha]),
            log=log,
            tenant=tenant,
            channel=channel,
            key=await an_api_key(db, tenant),
        )


_QUEUE = {
    "queue_lease_seconds": 2,
    "queue_sweep_seconds": 0.5,
    "queue_poll_seconds": 0.1,
    "worker_concurrency": 8,
    "worker_drain_seconds": 2,
}
_CONVERSATION = {
    "message_buffer_initial_delay": 0,
    "message_buffer_max_delay": 0,
    "conversation_lease_seconds": 2,
    "unknown_send_seconds": 2,
}


@asynccontextmanager
async def _commerce_agent(settings: PlatformSettings, agent: ScriptedAgent) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with open_work(settings) as work, build_agent(settings, work, agent) as container:
        running = asyncio.create_task(commerce_agent.run(container, settings, stop))
        try:
            yield
        finally:
            stop.set()
            await running


@asynccontextmanager
async def _messenger(settings: PlatformSettings) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with build_messenger(settings) as messenger:
        running = asyncio.create_task(
            consume(
                messenger.work.queue,
                [Queue.WA_MESSAGES],
                messenger.routes,
                stop=stop,
                settings=settings.queue,
            )
        )
        try:
            yield
        finally:
            stop.set()
            await running


async def an_api_key(db: TestDatabase, tenant: TenantId) -> dict[str, str]:
    """The headers of a key that may do everything for this tenant."""
    minted = api_keys.mint(PEPPER)
    await db.execute(
        "INSERT INTO api_keys (id, tenant_id, name, prefix, digest, scopes)"
        " VALUES ($1, $2, 'Test Kit', $3, $4, '{*}')",
        new_id(),
        tenant,
        minted.prefix,
        minted.digest,
    )
    return {"authorization": f"Bearer {minted.plaintext}"}
