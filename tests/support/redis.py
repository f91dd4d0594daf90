"""Redis for tests: a private server, or the one that TEST_REDIS_URL names with a key prefix."""

import os
import shutil
import signal
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from ai_platform.embedded.valkey import EmbeddedValkey


class RedisForTests:
    """A server. ``private`` forces one of our own, which may be flushed, stopped and started."""

    def __init__(self, *, private: bool = False) -> None:
        given = os.environ.get("TEST_REDIS_URL")
        self._folder: Path | None = None
        self._server: EmbeddedValkey | None = None
        if given and not private:
            self.url = given
            return
        self._folder = Path(tempfile.mkdtemp(prefix="aip-redis-"))
        binary = shutil.which("redis-server")
        self._server = EmbeddedValkey(
            self._folder, self._folder, binary=Path(binary) if binary else None
        )
        self.url = self._server.url

    def __enter__(self) -> Self:
        if self._server is not None:
            self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        assert self._server is not None, "a given server is not ours to start"
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def kill(self) -> None:
        """End it as a crash would."""
        assert self._server is not None, "a given server is not ours to kill"
        assert self._server.process is not None
        self._server.process.send_signal(signal.SIGKILL)
        self._server.process.wait()
