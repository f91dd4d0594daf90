"""``ai-platform up``: starts everything in order, keeps it running, stops it in order.

PostgreSQL and Valkey first, then the schema, then the web and the worker process; the demo shop is
laid out while those two load their libraries. Whatever ends is started again. On Ctrl-C or SIGTERM
web and worker drain, then the servers stop; when this process is killed, the kernel ends them all.
"""

import asyncio
import os
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from ai_platform.demo.opening import open_shop
from ai_platform.embedded import credentials as stored
from ai_platform.embedded.credentials import Credentials, DemoCredentials
from ai_platform.embedded.data_dir import RunningServer, runtime_dir
from ai_platform.embedded.environment import Addresses, service_environment
from ai_platform.embedded.log_tail import LogTail, readable
from ai_platform.embedded.options import UpOptions
from ai_platform.embedded.parts import CachePart, DatabasePart, ServicePart
from ai_platform.embedded.postgres import EmbeddedPostgres
from ai_platform.embedded.prepare import prepare_database
from ai_platform.embedded.restarts import Part, keep_running
from ai_platform.embedded.screen import Screen
from ai_platform.embedded.valkey import EmbeddedValkey
from shared.config.settings import DatabaseSettings
from shared.persistence.database import open_database
from shared.persistence.migrate import migrate
from shared.security.crypto import KeyRing

_SLOW_START_SECONDS = 30.0


class Supervisor:
    """One run of the platform on one data directory."""

    def __init__(self, options: UpOptions, screen: Screen) -> None:
        self._options = options
        self._screen = screen
        self._servers: list[Part] = []
        self._services: list[ServicePart] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._postgres: EmbeddedPostgres | None = None
        self._valkey: EmbeddedValkey | None = None
        self._runtime_dir = runtime_dir(options.data_dir.path)
        self._began = time.monotonic()

    async def run(self) -> None:
        """Run until a signal asks to stop.

        Raises:
            CommandFailed: it cannot start; nothing is left running.
        """
        with self._options.data_dir.claimed():
            living = asyncio.create_task(self._live())
            self._on_signals(living)
            with suppress(asyncio.CancelledError):
                await living

    def _on_signals(self, living: asyncio.Task[None]) -> None:
        def stop() -> None:
            if living.cancelling():  # asked twice: do not wait for the drain
                self._kill_services()
            else:
                living.cancel()
                self._screen.note("Stopping")

        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # a signal that we were started to ignore (nohup) stays ignored
            if signal.getsignal(signum) is not signal.SIG_IGN:
                loop.add_signal_handler(signum, stop)

    async def _live(self) -> None:
        try:
            credentials = stored.load_or_generate(self._options.data_dir)
            addresses = await self._start_servers()
            environment = self._environment(addresses, credentials)
            await self._start_services(environment)
            demo = await self._open_shop(environment)
            await self._until_ready()
            self._announce(addresses, demo)
            await asyncio.gather(*self._tasks)
        finally:
            await self._stop()

    async def _start_servers(self) -> Addresses:
        """Start those servers that the environment does not name, and bring the schema up."""
        redis = os.environ.get("REDIS_URL") or await self._start_valkey()
        if given := os.environ.get("DATABASE_URL"):
            owner = os.environ.get("DATABASE_MIGRATION_URL") or None
            if owner is not None:
                await migrate(owner)
            return Addresses(database=given, migration=owner, redis=redis)
        self._postgres = EmbeddedPostgres(self._options.data_dir.path)
        await self._start_server(DatabasePart(self._postgres))
        await prepare_database(self._postgres)
        return Addresses.embedded_database(self._postgres, redis=redis)

    async def _start_valkey(self) -> str:
        self._valkey = EmbeddedValkey(self._options.data_dir.path, self._runtime_dir)
        await self._start_server(CachePart(self._valkey))
        return self._valkey.url

    async def _start_server(self, part: Part) -> None:
        self._servers.append(part)
        await part.start()
        self._watch(part)

    def _environment(self, addresses: Addresses, credentials: Credentials) -> dict[str, str]:
        run_dir = self._runtime_dir / "run"
        # heartbeats of a run that was killed must not make this one look ready
        shutil.rmtree(run_dir, ignore_errors=True)
        run_dir.mkdir(mode=0o700)
        return service_environment(os.environ, self._options, addresses, credentials, run_dir)

    async def _start_services(self, environment: dict[str, str]) -> None:
        for name in ("worker", "web"):  # the worker has more to load
            log = self._options.data_dir.logs / f"{name}.log"
            part = ServicePart(
                name, f"ai_platform.embedded.{name}", environment=environment, log=log
            )
            self._services.append(part)
            tail = LogTail(log)
            await part.start()
            self._watch(part)
            self._spawn(self._follow(tail))

    async def _open_shop(self, environment: Mapping[str, str]) -> DemoCredentials | None:
        if not self._options.demo:
            return None
        url = SecretStr(environment["DATABASE_URL"])
        async with open_database(DatabaseSettings(database_url=url)) as database:
            return await open_shop(
                self._options.data_dir,
                database,
                KeyRing(SecretStr(environment["MASTER_KEY"])),
                SecretStr(environment["API_KEY_PEPPER"]),
                login=self._options.is_private,
            )

    def _watch(self, part: Part) -> None:
        self._spawn(keep_running(part, say=self._screen.note, monotonic=time.monotonic))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _follow(self, tail: LogTail) -> None:
        while True:
            for line in tail.lines():
                shown = readable(line, verbose=self._options.verbose)
                if shown is not None:
                    self._screen.log(shown)
            await asyncio.sleep(0.2)

    async def _until_ready(self) -> None:
        patience = time.monotonic() + _SLOW_START_SECONDS
        while not await asyncio.to_thread(_answers, f"{self._options.base_url}/ready"):
            if time.monotonic() > patience:
                logs = self._options.data_dir.logs
                self._screen.note(f"Still not ready; what keeps it may be told in {logs}")
                patience += _SLOW_START_SECONDS
            await asyncio.sleep(0.1)

    def _announce(self, addresses: Addresses, demo: DemoCredentials | None) -> None:
        # addresses that the operator gave may hold a password: they are theirs to give again
        self._options.data_dir.announce(
            RunningServer(
                pid=os.getpid(),
                base_url=self._options.base_url,
                database_url=addresses.database if self._postgres else None,
                database_migration_url=addresses.migration if self._postgres else None,
                redis_url=addresses.redis if self._valkey else None,
                demo_login=self._options.is_private,
            )
        )
        took = timedelta(seconds=time.monotonic() - self._began)
        self._screen.ready(self._options, took=took, demo=demo)

    def _kill_services(self) -> None:
        for part in self._services:
            part.kill()

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(part.stop() for part in self._services))
        for server in self._servers:
            await server.stop()
        shutil.rmtree(self._runtime_dir, ignore_errors=True)


def _answers(url: str) -> bool:
    """Whether a GET is answered with 200; no proxy stands between us and ourselves."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return int(answer.status) == 200
    except (OSError, urllib.error.URLError):
        return False
