"""Service processes that start in milliseconds: forked from a process that has imported everything.

    service = spawn("commerce-agent", environment, folder / "commerce-agent.log")
    service.pause(); service.resume(); service.kill(); code = service.stop()

A child runs the service's real ``serve`` as a process of its own: with nothing but the given
environment, a session, a log, a fresh event loop and fresh random numbers. The server starts with
the first `spawn` of a test process and ends with it; the kernel ends children with the server,
however it dies.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ai_platform.embedded.child import follow_parent

if TYPE_CHECKING:
    from tests.fault.boundaries import BoundaryPlan

SERVICES: Mapping[str, str] = {
    "gateway": "gateway.main",
    "commerce-agent": "commerce_agent.worker",
    "messenger": "messenger.worker",
    "llm-worker": "llm_worker.worker",
}
"""The module whose ``serve`` is the service."""
_ONLY_WHEN_USED = (
    "aio_pika",
    "anyio._backends._asyncio",
    "commerce_agent.application.services.chatbot_orchestrator",
    "commerce_agent.infrastructure.llm.crm_langgraph_runner",
    "commerce_agent.infrastructure.llm.model_directory",
    "llm_worker.infrastructure.llm.offline_model",
    "llm_worker.infrastructure.llm.providers.openai_chat",
    "openai.resources.chat.completions",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "tests.fault.boundaries",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
)
"""What services import late."""
_START_SECONDS = 120.0
_PR_SET_NAME = 15


@dataclass(frozen=True)
class ForkedService:
    """One running process. ``poll`` and ``stop`` answer as `subprocess.Popen` does: a death by a
    signal is its negative number."""

    name: str
    pid: int
    _server: "_Server" = field(repr=False)
    _exit: list[int] = field(default_factory=list, repr=False)

    def poll(self) -> int | None:
        """The exit code; ``None`` while it runs."""
        if not self._exit:
            code = self._server.ask({"poll": self.pid})
            if code is None:
                return None
            self._exit.append(code)
        return self._exit[0]

    def wait(self, seconds: float = 30) -> int:
        """Wait for its end. Raises `TimeoutError`."""
        end = time.monotonic() + seconds
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.name} ({self.pid}) still runs after {seconds} s")
            time.sleep(0.005)
        return code

    def signal(self, signum: signal.Signals) -> None:
        if self.poll() is None:  # until it is reaped its pid is nobody else's
            os.kill(self.pid, signum)

    def kill(self) -> None:
        """End it as the kernel would when memory is short."""
        self.signal(signal.SIGKILL)
        self.wait()

    def terminate(self) -> None:
        """Ask it to end."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)  # one that stands still would not hear it

    def stop(self, patience: float = 30) -> int:
        """Ask it to end, and end it after ``patience`` seconds; its exit code."""
        self.terminate()
        with contextlib.suppress(TimeoutError):
            return self.wait(patience)
        self.kill()
        return self.wait()

    def pause(self) -> None:
        """Let it stand still, as a machine does that swaps or migrates."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)


def spawn(
    service: str | Sequence[str],
    env: Mapping[str, str],
    log: Path,
    *,
    boundaries: "BoundaryPlan | None" = None,
    patch: str | None = None,
) -> ForkedService:
    """Start a service, or several in one process; its output is appended to ``log``.

    ``boundaries`` are named, and one of them hit, as `tests.fault.boundaries` says. ``patch`` is
    ``module:function``, called in the child before it serves: how a test plants a mistake.
    """
    names = [service] if isinstance(service, str) else list(service)
    assert set(names) <= set(SERVICES), names
    log.parent.mkdir(parents=True, exist_ok=True)
    answer = _server().ask(
        {
            "spawn": names,
            "env": dict(env),
            "log": str(log),
            "boundaries": asdict(boundaries) if boundaries else None,
            "patch": patch,
        }
    )
    return ForkedService("+".join(names), answer, _server())


# -- the test process's side ------------------------------------------------------------------


class _Server:
    """A connection to the preloaded process; questions and answers are lines of JSON."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __spec__.name, str(os.getpid())],
                stdin=theirs,
                stdout=self._errors,
                stderr=self._errors,
                start_new_session=True,
                # what is tested here is what the children run
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                },
            )
        self._socket = ours
        self._lines = ours.makefile("rb")
        self._lock = threading.Lock()
        ours.settimeout(_START_SECONDS)
        self._answer()

    def ask(self, question: Any) -> Any:
        with self._lock:
            self._socket.sendall(json.dumps(question).encode() + b"\n")
            return self._answer()

    def _answer(self) -> Any:
        line = self._lines.readline()
        if not line:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace")
            raise RuntimeError(f"the fork server ended:\n{said[-3000:]}")
        return json.loads(line)

    def close(self) -> None:
        """End it and, with it, every child."""
        self._lines.close()
        self._socket.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()


_running: dict[int, _Server] = {}


def _server() -> _Server:
    server = _running.get(os.getpid())
    if server is None:
        # the kernel ends it with the thread that started it
        assert threading.current_thread() is threading.main_thread()
        server = _running[os.getpid()] = _Server()
        atexit.register(close)
    return server


def close() -> None:
    """End this process's server, if it has one; the next `spawn` starts another."""
    server = _running.pop(os.getpid(), None)
    if server is not None:
        server.close()


# -- the preloaded process ------------------------------------------------------------------------


def main() -> None:
    follow_parent(signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        return
    for module in (*SERVICES.values(), *_ONLY_WHEN_USED):
        importlib.import_module(module)
    _build_routes()
    gc.collect()
    gc.freeze()  # children would copy every page that a collection touches
    assert threading.active_count() == 1, threading.enumerate()
    with socket.socket(fileno=os.dup(0)) as ours, ours.makefile("rb") as questions:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        try:
            _say(ours, "ready")
            for line in questions:
                _say(ours, _answer(json.loads(line), ours))
        finally:
            for pid in _children:
                os.kill(pid, signal.SIGKILL)


class _Later:
    """Stands for the container that a gateway has when it has started."""

    container: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.container, name)


def _build_routes() -> None:
    """Make the gateway's application once: its hundred routes are most of the gateway's start.
    What it holds of a process is its container alone, which each child puts in."""
    from gateway import main as gateway
    from shared.config.settings import PlatformSettings

    later = _Later()
    app = gateway.create_app(PlatformSettings.model_construct(), later)  # type: ignore[arg-type]

    def ready_made(_: Any, container: Any = None) -> Any:
        later.container = container
        return app

    gateway.create_app = ready_made


_children: set[int] = set()


def _say(ours: socket.socket, answer: Any) -> None:
    ours.sendall(json.dumps(answer).encode() + b"\n")


def _answer(question: dict[str, Any], ours: socket.socket) -> Any:
    if "poll" in question:
        return _poll(question["poll"])
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(ours.fileno())  # the server must see the test process end, whoever lives on
        _end(lambda: _child(server, question))
    _children.add(pid)
    return pid


def _poll(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    if not ended:
        return None
    _children.discard(pid)
    return os.waitstatus_to_exitcode(status)


# -- the child ------------------------------------------------------------------------------------


def _child(server: int, question: dict[str, Any]) -> None:
    os.setsid()
    follow_parent(signal.SIGKILL)
    if os.getppid() != server:
        return
    log = os.open(question["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for output in (1, 2):
        os.dup2(log, output)
    os.close(log)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(question["env"])
    random.seed()
    names = question["spawn"]
    _call_yourself(f"aip {'+'.join(names)}")
    from tests.fault import boundaries  # imported by the server; not there for the test process

    if question["boundaries"] is not None:
        boundaries.install(boundaries.BoundaryPlan(**question["boundaries"]))
    if question["patch"] is not None:
        module, _, function = question["patch"].partition(":")
        getattr(importlib.import_module(module), function)()
    _serve(names)


def _serve(names: Sequence[str]) -> None:
    from shared.observability.process import run_services

    services = {name: importlib.import_module(SERVICES[name]).serve for name in names}
    run_services("+".join(names), services)


def _end(work: Callable[[], None]) -> NoReturn:
    """Leave as a process does that was never forked: nothing of the server runs behind it."""
    code = 1
    try:
        work()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
        if isinstance(ended.code, str):
            sys.stderr.write(f"{ended.code}\n")
    except BaseException:  # noqa: BLE001 - what would end the interpreter ends this process
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _call_yourself(name: str) -> None:
    """What `top` and `ps` show; fifteen letters fit."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode()[:15])


if __name__ == "__main__":
    main()
