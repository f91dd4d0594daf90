"""The platform as processes on the embedded servers, seen over HTTP; each service can be killed.

    async with Stack(folder) as stack:
        shop = await stack.a_shop("kopi", llm=llm, waha=waha)
        await shop.receives(hooks.message("halo"))
        await waha.until(lambda: waha.texts(...))
        stack.kill("commerce-agent"); stack.start("commerce-agent")

PostgreSQL and Valkey are the wheels' own; services are forked from a process that has imported them
(`tests.support.fork_server`). Waiting times are short by settings; nothing else differs from what a
user runs.
"""

import asyncio
import itertools
import os
import random
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

import httpx2
from pydantic import SecretStr

from ai_platform.audit.rules import Bounds
from gateway.application.services.api_key_service import ApiKeyService
from gateway.infrastructure.persistence.api_keys import SqlApiKeyStore
from shared.kernel.ids import TenantId, new_id
from shared.persistence.database import open_database
from shared.security.crypto import new_secret_key
from tests.support.auditor import Auditor
from tests.support.fake_llm import FakeLlm
from tests.support.fake_waha import FakeWaha
from tests.support.fork_server import SERVICES, ForkedService, spawn
from tests.support.postgres import PostgresForTests, TestDatabase
from tests.support.redis import RedisForTests
from tests.support.waha_webhooks import Engine, Webhook, Webhooks

Json = dict[str, Any]

QUICK = {
    "MESSAGE_BUFFER_INITIAL_DELAY": "0.3",
    "MESSAGE_BUFFER_MAX_DELAY": "3",
    "SEND_PACE_SECONDS": "0",
    "TYPING_SECONDS_PER_CHARACTER": "0",
    "QUEUE_LEASE_SECONDS": "2",
    "QUEUE_SWEEP_SECONDS": "1",
    "QUEUE_POLL_SECONDS": "0.2",
    "CONVERSATION_LEASE_SECONDS": "2",
    "UNKNOWN_SEND_SECONDS": "4",
    "LLM_RETRY_INITIAL_DELAY": "0.05",
    "LLM_RETRY_MAX_DELAY": "0.1",
    "LLM_MAX_RETRIES": "1",
    "CIRCUIT_BREAKER_TIMEOUT_SECONDS": "0.5",
    "WORKER_DRAIN_SECONDS": "5",
}
PATIENCE = 40.0


_ports = itertools.cycle(random.SystemRandom().sample(range(10_000, 32_000), 22_000))


def free_port() -> int:
    """A port below those that the kernel gives away by itself: it is still free when the service
    that was killed on it starts again."""
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("unreachable: the ports go round for ever")


async def until(holds: Callable[[], Any], *, seconds: float = PATIENCE) -> Any:
    """Wait for what other processes do; returns the first truthy answer.

    ``holds`` may be a coroutine function.
    """
    async with asyncio.timeout(seconds):
        while True:
            answer = holds()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return answer
            await asyncio.sleep(0.03)


class Stack:
    """Servers and services. ``services`` are started on entry; others by `start`.

    ``postgres`` is an open server on which the stack takes a database of its own; without it, it
    starts a server. Redis is always its own.
    """

    def __init__(
        self,
        folder: Path,
        *,
        services: tuple[str, ...] = ("gateway", "commerce-agent", "messenger"),
        settings: Mapping[str, str] | None = None,
        postgres: PostgresForTests | None = None,
    ) -> None:
        self.folder = folder
        self.run_dir = folder / "run"
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._services = services
        self._settings = {**QUICK, **(settings or {})}
        self._pepper = new_secret_key()
        self._processes: dict[str, ForkedService] = {}
        self._redis = RedisForTests(private=True)
        self._postgres = postgres

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as entered:  # what is open when something fails is closed
            entered.enter_context(self._redis)
            self.database = await entered.enter_async_context(self._a_database())
            self.auditor = Auditor(self.database, logs=lambda: self.logs, bounds=self._bounds())
            self.auditor.secret(self._pepper)
            self.http = await entered.enter_async_context(
                httpx2.AsyncClient(base_url=self.base_url, timeout=30, trust_env=False)
            )
            self._environment = self._make_environment()
            self.operator_key = await self.api_key()
            self.auditor.secret(self._environment["MASTER_KEY"], self.operator_key)
            entered.callback(self._stop_all)
            for service in self._services:
                self.start(service)
            await self.ready()
            self._opened = entered.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Whatever the test was about, nothing may be broken at its end."""
        try:
            if error is None:
                await self.audit()
        finally:
            await self._opened.aclose()

    async def audit(self) -> None:
        """No promise is broken, and where everything has come to rest nothing is left open."""
        await self.auditor.assert_clean(settled=await self.auditor.is_at_rest())

    def _bounds(self) -> Bounds:
        """How long anything may take with these settings."""
        lease = max(
            float(self._settings["QUEUE_LEASE_SECONDS"]),
            float(self._settings["CONVERSATION_LEASE_SECONDS"]),
        )
        return Bounds(
            lease=timedelta(seconds=lease),
            sweep=timedelta(seconds=float(self._settings["QUEUE_SWEEP_SECONDS"])),
        )

    @asynccontextmanager
    async def _a_database(self) -> AsyncIterator[TestDatabase]:
        if self._postgres is None:
            async with PostgresForTests(embedded=True) as own:
                yield await own.database()
            return
        made = await self._postgres.database()
        try:
            yield made
        finally:
            await self._postgres.drop(made)

    def _stop_all(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.stop(patience=10)

    def start(self, service: str, *, patch: str | None = None) -> None:
        """Start a service; ``patch`` plants something in it (`tests.support.fork_server`)."""
        (self.run_dir / f"{service}.heartbeat").unlink(missing_ok=True)  # of one that was killed
        log = self.folder / f"{service}.log"
        self._processes[service] = spawn(service, self._environment, log, patch=patch)

    def start_another(self, service: str, *, patch: str | None = None) -> ForkedService:
        """One more of a service that runs already; the caller stops it."""
        return spawn(service, self._environment, self.folder / f"{service}.log", patch=patch)

    def pid(self, service: str) -> int:
        return self._processes[service].pid

    def has_ended(self, service: str) -> bool:
        return self._processes[service].poll() is not None

    def kill(self, service: str) -> None:
        """End it as the kernel would when memory is short."""
        self._processes.pop(service).kill()

    def pause(self, service: str) -> None:
        """Let it stand still, as a machine does that swaps; `resume` lets it go on."""
        self._processes[service].pause()

    def resume(self, service: str) -> None:
        self._processes[service].resume()

    def cpu_seconds(self, service: str) -> float:
        """What this process has worked so far, by the kernel's count."""
        stat = Path(f"/proc/{self._processes[service].pid}/stat").read_text()
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def kill_redis(self) -> None:
        self._redis.kill()

    def stop(self, service: str) -> int:
        """Ask it to end; returns its exit code."""
        return self._processes.pop(service).stop()

    async def ready(self) -> None:
        """Wait until every started service says that it works."""
        await until(self._is_ready)

    async def _is_ready(self) -> bool:
        for name, process in self._processes.items():
            assert process.poll() is None, f"{name} ended:\n{self.log(name)[-3000:]}"
            if name != "gateway" and not (self.run_dir / f"{name}.heartbeat").exists():
                return False
        if "gateway" not in self._processes:
            return True
        try:
            return (await self.http.get("/health")).status_code == 200
        except httpx2.TransportError:
            return False

    def log(self, service: str) -> str:
        path = self.folder / f"{service}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def environment(self) -> Mapping[str, str]:
        """What every service of this stack is started with."""
        return self._environment

    @property
    def logs(self) -> str:
        return "".join(self.log(service) for service in SERVICES)

    def _make_environment(self) -> dict[str, str]:
        assert self._redis.url
        inherited = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
        return {
            **inherited,
            "DATABASE_URL": self.database.url,
            "DATABASE_MIGRATION_URL": self.database.owner_url,
            "REDIS_URL": self._redis.url,
            "MASTER_KEY": new_secret_key(),
            "API_KEY_PEPPER": self._pepper,
            "HTTP_PORT": str(self.port),
            "SIMULATOR_ENABLED": "true",
            "RUN_DIR": str(self.run_dir),
            "OUTBOUND_ALLOW_HOSTS": "127.0.0.1",
            "PYTHONUNBUFFERED": "1",
            **self._settings,
        }

    async def api_key(self, tenant_id: TenantId | None = None) -> str:
        """A key of this tenant that may do everything; without a tenant an operator's."""
        async with open_database(self.database.settings) as database:
            keys = ApiKeyService(SqlApiKeyStore(database), SecretStr(self._pepper))
            scope = "*" if tenant_id else "platform"
            return await keys.create(tenant_id, "test", [scope])

    async def call(
        self, method: str, path: str, json: Any = None, *, key: str | None = None, status: int = 0
    ) -> Json:
        """One API call; fails on a status other than ``status`` (0: any 2xx)."""
        headers = {"Authorization": f"Bearer {key or self.operator_key}"}
        if method == "POST":
            headers["Idempotency-Key"] = uuid4().hex
        answer = await self.http.request(method, path, json=json, headers=headers)
        fits = answer.status_code == status if status else answer.is_success
        assert fits, f"{method} {path}: {answer.status_code} {answer.text}"
        body: Json = answer.json() if answer.content else {}
        return body

    async def a_shop(
        self,
        name: str,
        *,
        llm: FakeLlm | None = None,
        waha: FakeWaha | None = None,
        products: tuple[Json, ...] = (),
        engine: Engine = "NOWEB",
    ) -> "Shop":
        """A tenant with one channel: on ``waha``, or a simulated one; its model is ``llm``, or the
        offline one."""
        self.auditor.watch(llm=llm, waha=waha)
        slug = f"{name}-{uuid4().hex[:6]}"
        body: Json = {"slug": slug, "name": f"{name.title()} {slug}"}
        if llm is not None:
            body["llm_config_name"] = await self._model(llm)
        tenant = await self.call("POST", "/v1/crm/tenants", body)
        key = await self.api_key(TenantId(UUID(tenant["id"])))
        base = f"/v1/crm/tenants/{tenant['id']}"
        session = f"s-{slug}"
        channel_body: Json = {"kind": "simulator", "name": "main", "session": session}
        if waha is not None:
            channel_body = {
                "kind": "waha", "name": "main", "session": session,
                "base_url": waha.url, "api_key": waha.api_key,
            }  # fmt: skip
        channel = await self.call("POST", f"{base}/channels", channel_body, key=key)
        shop = Shop(
            stack=self, id=UUID(tenant["id"]), slug=slug, key=key, base=base,
            channel_id=channel["id"], webhook_url=httpx2.URL(channel["webhook_url"]).path,
            hooks=Webhooks(engine=engine, session=session, secret=channel["webhook_secret"]),
        )  # fmt: skip
        self.auditor.canary(shop.id, slug)
        self.auditor.secret(key, shop.hooks.secret)
        for product in products:
            await self.call("POST", f"{base}/products", product, key=key)
        return shop

    async def _model(self, llm: FakeLlm) -> str:
        name = f"fake-{llm.port}"
        await self.database.execute(
            "INSERT INTO llm_configs (id, name, provider, model, base_url, temperature) VALUES "
            "($1, $2, 'openai_compatible', 'fake-model', $3, 0) ON CONFLICT DO NOTHING",
            new_id(),
            name,
            llm.openai_url,
        )
        return name


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A tenant as its owner and its customers see it."""

    stack: Stack
    id: UUID
    slug: str
    key: str
    base: str
    channel_id: str
    webhook_url: str
    hooks: Webhooks

    async def receives(self, webhook: Webhook, *, status: int = 200) -> None:
        """Deliver a webhook as WAHA would."""
        answer = await self.stack.http.post(
            self.webhook_url, content=webhook.body, headers=webhook.headers
        )
        if answer.is_success:
            self.stack.auditor.accepted(self.id, webhook.body)
        assert answer.status_code == status, answer.text

    async def call(self, method: str, path: str, json: Any = None, *, status: int = 0) -> Json:
        return await self.stack.call(
            method, f"{self.base}{path}", json, key=self.key, status=status
        )

    async def conversations(self) -> list[Json]:
        found: list[Json] = (await self.call("GET", "/conversations"))["data"]
        return found

    async def messages(self, conversation: Json) -> list[Json]:
        path = f"/conversations/{conversation['id']}/messages?limit=200"
        found: list[Json] = (await self.call("GET", path))["data"]
        return found


def a_product(
    name: str, price: int, *, sku: str | None = None, stock: int = 10, **fields: Any
) -> Json:
    """The body that creates a product with one variant."""
    return {
        "name": name,
        "category": "Kopi",
        "description": "",
        "variants": [
            {
                "sku": sku or f"SKU-{uuid4().hex[:8]}",
                "name": "",
                "price": {"amount": price, "currency": "IDR"},
                "stock": stock,
            }
        ],
    } | fields


@asynccontextmanager
async def opened(folder: Path, **options: Any) -> AsyncIterator[Stack]:
    async with Stack(folder, **options) as stack:
        yield stack
