"""Our services as processes of their own, on a durable database, with one shop on the simulator."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit
from uuid import UUID

import httpx2
from pydantic import SecretStr

from ai_platform.embedded.child import spawn, stop
from gateway.application.services.api_key_service import ApiKeyService
from gateway.infrastructure.persistence.api_keys import SqlApiKeyStore
from shared.kernel.ids import TenantId
from shared.persistence.database import open_database
from shared.security.crypto import new_secret_key
from tests.support.postgres import PostgresForTests, TestDatabase
from tests.support.stack import free_port, until

ROOT = Path(__file__).parents[1]
_MODULES = {
    "gateway": "gateway.main",
    "commerce-agent": "commerce_agent.worker",
    "messenger": "messenger.worker",
}


def python_path() -> str:
    """Where children find what we have found."""
    return os.pathsep.join([str(ROOT), *filter(None, sys.path)])


class Process:
    """A child process with a log; it never outlives us."""

    def __init__(self, argv: list[str], log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self._child: subprocess.Popen[bytes] = spawn(
            [sys.executable, *argv],
            log=log,
            death_signal=signal.SIGKILL,
            env={**kept, "PYTHONPATH": python_path(), **environment},
        )
        self.pid = self._child.pid

    def check(self) -> None:
        """Fail when it has ended, with the end of its log."""
        if self._child.poll() is not None:
            raise RuntimeError(f"{self.log.name}: {self.log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        stop(self._child, signal.SIGTERM, patience=30)


async def answers(process: Process, port: int, path: str = "/health") -> None:
    """Return when the process answers HTTP, whatever it says."""

    async def asked() -> bool:
        process.check()
        try:
            async with httpx2.AsyncClient(trust_env=False) as client:
                await client.get(f"http://127.0.0.1:{port}{path}")
        except httpx2.TransportError:
            return False
        return True

    await until(asked)


class Platform:
    """The database and, from `start` on, our services. The shop is made on entry."""

    tenant_id: UUID
    webhook_path: str
    webhook_secret: str

    def __init__(self, folder: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self._postgres = PostgresForTests(private=True)
        self._settings = settings or {}
        self._pepper = new_secret_key()
        self.processes: dict[str, Process] = {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as entered:
            self.postgres = await entered.enter_async_context(self._postgres)
            self.database: TestDatabase = await self.postgres.database()
            entered.callback(self._stop_all)
            self.environment = {
                "DATABASE_URL": self.database.url,
                "MASTER_KEY": new_secret_key(),
                "API_KEY_PEPPER": self._pepper,
                "HTTP_PORT": str(self.port),
                "RUN_DIR": str(self.folder / "run"),
                "SIMULATOR_ENABLED": "true",
                **self._settings,
            }
            await answers(self.start("gateway"), self.port)
            await self._make_shop()
            self._opened = entered.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._opened.aclose()

    def start(self, service: str) -> Process:
        log = self.folder / f"{service}.log"
        self.processes[service] = Process(["-m", _MODULES[service]], log, self.environment)
        return self.processes[service]

    def stop(self, service: str) -> None:
        self.processes.pop(service).stop()

    @property
    def postgres_pid(self) -> int:
        """The postmaster, whose children are the backends."""
        server = self.postgres.server
        assert server is not None
        assert server.process is not None
        return server.process.pid

    def _stop_all(self) -> None:
        for service in list(self.processes):
            self.stop(service)

    async def _make_shop(self) -> None:
        async with open_database(self.database.settings) as database:
            keys = ApiKeyService(SqlApiKeyStore(database), SecretStr(self._pepper))
            operator = await keys.create(None, "bench", ["platform"])
            base = f"http://127.0.0.1:{self.port}/v1/crm/tenants"
            async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
                tenant = await _post(client, base, operator, {"slug": "bench", "name": "Bench"})
                self.tenant_id = UUID(tenant["id"])
                key = await keys.create(TenantId(self.tenant_id), "bench", ["*"])
                body = {"kind": "simulator", "name": "main", "session": "bench"}
                channel = await _post(client, f"{base}/{tenant['id']}/channels", key, body)
        self.webhook_path = urlsplit(channel["webhook_url"]).path
        self.webhook_secret = channel["webhook_secret"]


async def _post(
    client: httpx2.AsyncClient, url: str, key: str, body: dict[str, str]
) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": os.urandom(8).hex()}
    answer = await client.post(url, json=body, headers=headers)
    answer.raise_for_status()
    made: dict[str, str] = answer.json()
    return made
