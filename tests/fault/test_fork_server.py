"""What the tests that fork services rely on."""

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support import fork_server
from tests.support.fork_server import ForkedService, spawn


def tell() -> None:
    """Runs in a child: say what a fresh process is like, and leave."""
    told = {
        "environment": dict(os.environ),
        "random": random.random(),
        "threads": threading.active_count(),
        "leads_its_session": os.getsid(0) == os.getpid(),
    }
    sys.stdout.write(json.dumps(told))
    sys.exit(7)


def wait() -> None:
    """Runs in a child: do nothing, and end when asked to."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(3))
    sys.stdout.write("waiting\n")
    sys.stdout.flush()
    while True:
        signal.pause()


def a_child(tmp_path: Path, function: str, **environment: str) -> ForkedService:
    patch = f"tests.fault.test_fork_server:{function}"
    return spawn("messenger", environment, tmp_path / "child.log", patch=patch)


def until_waiting(tmp_path: Path) -> None:
    log = tmp_path / "child.log"  # which the child itself makes
    end = time.monotonic() + 10
    while not log.exists() or "waiting" not in log.read_text():
        assert time.monotonic() < end, "the child never began"
        time.sleep(0.01)


def until_state(pid: int, *wanted: str) -> None:
    """Wait until the kernel calls a process this: S sleeps, T stands still, Z or none is dead."""
    end = time.monotonic() + 10
    while _state(pid) not in wanted:
        assert time.monotonic() < end, f"{pid} is {_state(pid)}, not {wanted}"
        time.sleep(0.01)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_a_child_is_like_a_process_that_was_never_forked(tmp_path: Path) -> None:
    first = a_child(tmp_path / "1", "tell", HOME="/nowhere")
    second = a_child(tmp_path / "2", "tell", HOME="/nowhere")
    assert (first.wait(), second.wait()) == (7, 7)
    told = [json.loads((tmp_path / n / "child.log").read_text()) for n in ("1", "2")]
    assert told[0]["environment"] == {"HOME": "/nowhere"}
    assert told[0]["threads"] == 1
    assert told[0]["leads_its_session"]
    assert told[0]["random"] != told[1]["random"]


def test_a_service_that_cannot_start_says_why(tmp_path: Path) -> None:
    child = spawn("messenger", {}, tmp_path / "child.log")
    assert child.wait() == 1
    assert "DATABASE_URL is not set" in (tmp_path / "child.log").read_text()


def test_children_are_stopped_killed_and_paused(tmp_path: Path) -> None:
    asked, killed = a_child(tmp_path / "1", "wait"), a_child(tmp_path / "2", "wait")
    until_waiting(tmp_path / "1")
    assert (asked.poll(), killed.poll()) == (None, None)
    killed.kill()
    assert killed.poll() == -signal.SIGKILL
    asked.pause()
    until_state(asked.pid, "T")
    asked.resume()
    until_state(asked.pid, "S")
    asked.pause()
    assert asked.stop(patience=10) == 3


def test_no_child_outlives_the_server_and_the_next_spawn_starts_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of this test's own: others of this process have children at theirs."""
    monkeypatch.setattr(fork_server, "_running", {})
    child = a_child(tmp_path, "wait")
    server = fork_server._server()._process
    server.kill()
    server.wait()
    until_state(child.pid, "", "Z")
    fork_server.close()
    assert a_child(tmp_path, "tell").wait() == 7
    fork_server.close()
