"""One run of the platform for one fault: with a database, fakes, ports and processes of its own.

    async with open_laboratory(postgres, folder) as laboratory:
        async with laboratory.run(hit) as run:
            await run.whatsapp(run.message("halo"))
            await run.settled()

What a run needs is prepared once: a shop lies in a database that each run copies. Runs mostly wait
for leases, so many go on at once.
"""

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import asyncpg
import httpx2

from ai_platform.audit.rules import Bounds
from tests.fault.boundaries import Boundary, BoundaryPlan, Mode
from tests.support.auditor import Auditor
from tests.support.fake_llm import FakeLlm
from tests.support.fake_waha import FakeWaha
from tests.support.fork_server import ForkedService, spawn
from tests.support.postgres import PostgresForTests, TestDatabase, plain
from tests.support.rabbitmq import RabbitForTests
from tests.support.stack import Shop, Stack, free_port, until
from tests.support.waha_webhooks import CUSTOMER, Webhook

SERVICES = ("gateway", "commerce-agent", "messenger")
SETTINGS = {
    "MESSAGE_BUFFER_INITIAL_DELAY": "0.3",
    "QUEUE_LEASE_SECONDS": "2",
    "QUEUE_SWEEP_SECONDS": "1",
    "QUEUE_POLL_SECONDS": "0.5",
    "CONVERSATION_LEASE_SECONDS": "2",
    "UNKNOWN_SEND_SECONDS": "6",
    "SSL_CERT_FILE": os.devnull,  # nothing here speaks TLS, and reading every authority takes long
    "DATABASE_POOL_SIZE": "2",
    "DATABASE_MAX_OVERFLOW": "2",
}
BOUNDS = Bounds(lease=timedelta(seconds=2), sweep=timedelta(seconds=1))
STANDSTILL = 3.5
"""Seconds: past every lease and the sweep after it and past the longest call, which is half of what
an unclear send waits, and less than that wait."""
_AT_ONCE = 12 // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "2"))
"""Runs mostly wait; together they keep two cores busy without starving a lease of two seconds."""
_CROWDED = 4 * (os.cpu_count() or 1)
"""Processes that want to run at one moment: where there are more, the next run waits a little."""
_WAHA_WAITS = 1.5
_WAHA_PAUSES = 0.2
PATIENCE = 28.0
"""For a run to come to rest: less than the half minute after which the sweeps find what was lost
altogether, because nothing may have been."""


@dataclass(frozen=True)
class Hit:
    """One fault: where, and what happens there. Without one, a run only lists its boundaries."""

    boundary: Boundary
    mode: Mode

    def __str__(self) -> str:
        return f"{self.boundary.name} {self.mode}"

    def plan(self, ledger: Path) -> BoundaryPlan:
        return BoundaryPlan(
            ledger=str(ledger),
            stage=self.boundary.stage,
            ordinal=self.boundary.ordinal,
            operation=self.boundary.operation,
            mode=self.mode,
        )


_UNDONE = """
    SELECT kind || ' in the queue' AS what FROM queue_messages
    UNION ALL SELECT 'an event in the inbox' FROM inbox_events WHERE state = 'received'
    UNION ALL SELECT 'an answer' FROM messages WHERE direction = 'in' AND answered_how IS NULL
    UNION ALL SELECT 'a turn' FROM turns WHERE state = 'open'
    UNION ALL SELECT 'a bubble that is ' || state FROM sends
              WHERE state IN ('pending', 'sending', 'unknown')
    UNION ALL SELECT 'a job that is ' || status FROM jobs
              WHERE status IN ('QUEUED', 'PROCESSING', 'RETRYING')
"""


class Missed(Exception):
    """The run did not come by the boundary, so nothing was shown."""


class Places(asyncio.Semaphore):
    """So many, and fewer while the machine has too much to do."""

    async def __aenter__(self) -> None:
        await super().__aenter__()
        for _ in range(100):
            if _wanting_to_run() <= _CROWDED:
                return
            await asyncio.sleep(0.05)


def _wanting_to_run() -> int:
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    except FileNotFoundError:  # not Linux
        return 0


@dataclass(frozen=True, kw_only=True)
class Laboratory:
    """What all runs share."""

    postgres: PostgresForTests
    folder: Path
    shop: Shop
    template: TestDatabase
    environment: Mapping[str, str]
    rabbit: RabbitForTests | None = None
    """Carries the hints of all runs, each on queues of its own."""
    places: "Places" = field(default_factory=lambda: Places(_AT_ONCE))
    """For the runs that go on at once."""
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    @asynccontextmanager
    async def run(
        self,
        hit: Hit | None = None,
        *,
        services: Sequence[str] = SERVICES,
        patch: str | None = None,
        patience: float = PATIENCE,
    ) -> AsyncIterator["Run"]:
        """A run in which nothing has happened yet. ``patch`` is planted into every service."""
        number = next(self._numbers)
        folder = self.folder / f"run-{number}"
        folder.mkdir()
        database = await self.postgres.database(like=self.template)
        try:
            async with AsyncExitStack() as entered:
                run = Run(
                    shop=self.shop,
                    hit=hit,
                    services=services,
                    patch=patch,
                    folder=folder,
                    database=database,
                    waha=await entered.enter_async_context(FakeWaha()),
                    llm=await entered.enter_async_context(PatientLlm()),
                    environment={
                        **self.environment,
                        **await entered.enter_async_context(self._queues()),
                    },
                    patience=patience,
                )
                yield await entered.enter_async_context(run)
        finally:
            await self.postgres.drop(database)
            shutil.rmtree(folder, ignore_errors=True)

    @asynccontextmanager
    async def _queues(self) -> AsyncIterator[Mapping[str, str]]:
        if self.rabbit is None:
            yield {}
            return
        async with self.rabbit.queues() as names:
            yield {
                "RABBITMQ_URL": self.rabbit.url,
                "RABBITMQ_TASK_QUEUE": names.rabbitmq_task_queue,
                "RABBITMQ_CRM_QUEUE": names.rabbitmq_crm_queue,
                "RABBITMQ_WA_QUEUE": names.rabbitmq_wa_queue,
            }


@asynccontextmanager
async def open_laboratory(postgres: PostgresForTests, folder: Path) -> AsyncIterator[Laboratory]:
    """Make the shop, and keep it as what every run begins with."""
    async with (
        FakeLlm() as llm,
        FakeWaha() as waha,
        Stack(
            folder / "shop", services=("gateway",), settings=SETTINGS, postgres=postgres
        ) as stack,
    ):
        shop = await stack.a_shop("kopi", llm=llm, waha=waha)
        stack.stop("gateway")
        template = await postgres.database(like=stack.database)
        yield Laboratory(
            postgres=postgres,
            folder=folder,
            shop=shop,
            template=template,
            environment=stack.environment,
        )
        await postgres.drop(template)


class PatientLlm(FakeLlm):
    """Thinks until ``may_answer`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def _answer(self, writer: Any, request: Any, step: Any) -> bool:
        await self.may_answer.wait()
        return await super()._answer(writer, request, step)


class Run:
    """The processes of one run, and WhatsApp and staff around them."""

    def __init__(
        self,
        *,
        shop: Shop,
        hit: Hit | None,
        services: Sequence[str],
        patch: str | None,
        folder: Path,
        database: TestDatabase,
        waha: FakeWaha,
        llm: PatientLlm,
        environment: Mapping[str, str],
        patience: float,
    ) -> None:
        self.shop = shop
        self.hit = hit
        self.database = database
        self.waha = waha
        self.llm = llm
        self.auditor = Auditor(
            database, wahas=(waha,), llms=(llm,), logs=lambda: self.logs, bounds=BOUNDS
        )
        self._services = services
        self._patch = patch
        self._patience = patience
        self._folder = folder
        self._port = free_port()
        self._environment = {
            **environment,
            "DATABASE_URL": database.url,
            "DATABASE_MIGRATION_URL": database.owner_url,
            "HTTP_PORT": str(self._port),
        }
        self._processes: dict[str, ForkedService] = {}
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as entered:
            self._connection = await asyncpg.connect(plain(self.database.admin_url))
            entered.push_async_callback(self._connection.close)
            await self._connection.execute("UPDATE channels SET base_url = $1", self.waha.url)
            await self._connection.execute(
                "UPDATE llm_configs SET base_url = $1 WHERE name LIKE 'fake-%'", self.llm.openai_url
            )
            self._http = await entered.enter_async_context(
                httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self._port}", trust_env=False)
            )
            entered.callback(self._kill_all)
            for service in self._services:
                self._start(service, self._plan(service))
            await until(self._is_ready)
            self._striking = asyncio.create_task(self._strike())
            entered.callback(self._striking.cancel)
            self._opened = entered.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()
        with suppress(asyncio.CancelledError):
            await self._striking

    # -- who talks to the platform --------------------------------------------------------------

    def message(self, text: str) -> Webhook:
        return self.shop.hooks.message(text)

    async def whatsapp(self, webhook: Webhook) -> None:
        """Deliver as WAHA does: again and again until it is taken."""
        url = self.shop.webhook_url

        async def delivered() -> bool:
            try:
                answer = await self._http.post(
                    url, content=webhook.body, headers=webhook.headers, timeout=_WAHA_WAITS
                )
            except httpx2.TransportError:
                await asyncio.sleep(_WAHA_PAUSES)
                return False
            return answer.is_success

        await until(delivered)
        self.auditor.accepted(self.shop.id, webhook.body)

    async def staff(self, path: str, body: Any = None, *, key: str = "") -> int:
        """One request of the inbox; the answer's status, or 0: nobody knows what became of it.
        With the ``key`` of an earlier request it is that request, repeated."""
        headers = {
            "Authorization": f"Bearer {self.shop.key}",
            "Idempotency-Key": key or uuid4().hex,
        }
        url = f"{self.shop.base}{path}"
        with suppress(httpx2.TransportError):
            answer = await self._http.post(url, json=body, headers=headers, timeout=_WAHA_WAITS)
            return answer.status_code
        return 0

    async def fetch(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """Read above row-level security."""
        return list(await self._connection.fetch(sql, *arguments))

    async def value(self, sql: str, *arguments: Any) -> Any:
        return await self._connection.fetchval(sql, *arguments)

    def texts(self) -> list[str | None]:
        """What the customer has got."""
        return self.waha.texts(CUSTOMER)

    async def settled(self) -> None:
        """Wait until the fault has struck and nobody has any work left.

        Raises:
            Missed: everything was done and the boundary never crossed.
            AssertionError: something stays undone.
        """
        await self._come_to_rest()
        if self.hit is None:
            return
        if not self._has_hit():
            raise Missed(str(self.hit))
        await self._striking
        await self._come_to_rest()

    async def _come_to_rest(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._patience
        while undone := await self.fetch(_UNDONE):
            if loop.time() > end:
                raise AssertionError(f"never done: {[row['what'] for row in undone]}")
            await asyncio.sleep(0.1)

    # -- what was crossed -----------------------------------------------------------------------

    def boundaries(self) -> list[Boundary]:
        """Everything that the services crossed, in each service's order."""
        return [
            Boundary(**{**line, "service": service})
            for service in self._services
            for line in self._lines(service)
            if "stage" in line
        ]

    def _lines(self, service: str) -> list[dict[str, Any]]:
        path = self._ledger(service)
        text = path.read_text() if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]  # the last line may just be written
        return [json.loads(line) for line in whole.splitlines()]

    def _has_hit(self) -> bool:
        return self.hit is not None and any(
            "hit" in line for line in self._lines(self.hit.boundary.service)
        )

    def _ledger(self, service: str) -> Path:
        return self._folder / f"{service}.boundaries"

    # -- processes ------------------------------------------------------------------------------

    def _plan(self, service: str) -> BoundaryPlan | None:
        if self.hit is None:
            return BoundaryPlan(ledger=str(self._ledger(service)))
        if self.hit.boundary.service != service:
            return None
        return self.hit.plan(self._ledger(service))

    def _start(self, service: str, plan: BoundaryPlan | None = None) -> None:
        number = next(self._numbers)
        self._processes[f"{service} {number}"] = spawn(
            service,
            {**self._environment, "RUN_DIR": str(self._folder / f"run-{number}")},
            self._folder / f"{service}.log",
            boundaries=plan,
            patch=self._patch,
        )

    async def _is_ready(self) -> bool:
        """All work, and have looked at the channel, which every start begins with."""
        self._assert_alive()
        if len(list(self._folder.glob("*/*.heartbeat"))) < len(self._services):
            return False
        if not self._have_looked() or await self.value("SELECT count(*) FROM queue_messages"):
            return False
        if "gateway" not in self._services:
            return True
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        return True

    def _have_looked(self) -> bool:
        """Whether every commerce agent that was started has made its first work."""
        started = sum(name.startswith("commerce-agent") for name in self._processes)
        return self.logs.count('"look_after_channels"') >= started

    def _assert_alive(self) -> None:
        for name, process in self._processes.items():
            assert process.poll() is None, f"{name} ended by itself:\n{self.logs[-3000:]}"

    async def _strike(self) -> None:
        """Do what belongs to the fault: start anew what died, wake what stands still."""
        if self.hit is None:
            return
        service = self.hit.boundary.service
        [struck] = [p for name, p in self._processes.items() if name.startswith(service)]
        while not self._has_hit():
            await asyncio.sleep(0.03)
        match self.hit.mode:
            case Mode.DIE_BEFORE | Mode.DIE_AFTER:
                while struck.poll() is None:
                    await asyncio.sleep(0.01)
                self._start(service)
                await until(self._have_looked)
            case Mode.HANG:
                if service != "gateway":  # whose port the standing one holds
                    self._start(service)
                await asyncio.sleep(STANDSTILL)
                await until(self._have_looked)
                struck.resume()
                await asyncio.sleep(0.5)
            case Mode.CANCEL:
                pass

    def _kill_all(self) -> None:
        for process in self._processes.values():
            process.kill()

    @property
    def logs(self) -> str:
        found = [self._folder / f"{service}.log" for service in self._services]
        return "".join(path.read_text(errors="replace") for path in found if path.exists())
