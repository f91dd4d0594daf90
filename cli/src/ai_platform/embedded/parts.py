"""The four child processes: PostgreSQL, Valkey, web, worker."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ai_platform.embedded import child
from ai_platform.embedded.postgres import EmbeddedPostgres
from ai_platform.embedded.valkey import EmbeddedValkey

DRAIN_SECONDS = 25.0
"""What a service may take to finish what it holds (WORKER_DRAIN_SECONDS)."""

_MARGIN_SECONDS = 3.0


class DatabasePart:
    """PostgreSQL. Everything slow happens in threads, the start itself in the main one."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self.name = server.name
        self.log = server.log

    def exit_code(self) -> int | None:
        return _exit_code(self._server.process)

    async def start(self) -> None:
        await asyncio.to_thread(self._server.prepare)
        self._server.launch()
        await asyncio.to_thread(self._server.wait_until_ready)

    async def stop(self) -> None:
        await asyncio.to_thread(self._server.stop)


class CachePart:
    """Valkey."""

    def __init__(self, server: EmbeddedValkey) -> None:
        self._server = server
        self.name = server.name
        self.log = server.log

    def exit_code(self) -> int | None:
        return _exit_code(self._server.process)

    async def start(self) -> None:
        self._server.launch()
        await asyncio.to_thread(self._server.wait_until_ready)

    async def stop(self) -> None:
        await asyncio.to_thread(self._server.stop)


class ServicePart:
    """A process of our services. When we die it is killed: a crash is safe at any moment, and a
    drain would only wait for a database that is going away too."""

    def __init__(
        self, name: str, module: str, *, environment: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self._module = module
        self._environment = environment
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def exit_code(self) -> int | None:
        return _exit_code(self._process)

    async def start(self) -> None:
        self._process = child.spawn(
            [sys.executable, "-m", self._module],
            log=self.log,
            death_signal=signal.SIGKILL,
            env=self._environment,
        )

    async def stop(self) -> None:
        if self._process is not None:
            patience = DRAIN_SECONDS + _MARGIN_SECONDS
            await asyncio.to_thread(child.stop, self._process, signal.SIGTERM, patience=patience)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()


def _exit_code(process: subprocess.Popen[bytes] | None) -> int | None:
    """A process that could not be started counts as one that failed."""
    return 1 if process is None else process.poll()
