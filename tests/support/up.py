"""``ai-platform up`` as a person starts it: its own process, its output read from a pipe."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).parent / "ai-platform"
READY = "AI Platform is ready"
_START_PATIENCE = 90.0


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours without what would point the platform at somebody else's servers."""
    ours = (
        "DATABASE_URL",
        "DATABASE_MIGRATION_URL",
        "REDIS_URL",
        "RABBITMQ_URL",
        "WAHA_SERVER_URL",
    )
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {**kept, **(extra or {})}


def ai_platform(
    *arguments: str, stdin: str = "", patience: float = 60.0, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
        env=clean_environment(env),
    )


def _make_run(arguments: Sequence[str]) -> list[str]:
    # -o: the installation that runs the tests is not to be synchronised by one of them
    return ["make", "-C", str(ROOT), "-o", ".venv/.synced", "run", f"ARGS={' '.join(arguments)}"]


class Up:
    """One run on a data directory, on a free port. Leaving the block stops it.

    ``through_make`` starts it as `make run` does, make being the process we hold. It leads a
    process group of its own, as it would on a terminal.
    """

    def __init__(
        self,
        data_dir: Path,
        *arguments: str,
        through_make: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.began = time.monotonic()
        told = ["--port", "0", "--data-dir", str(data_dir), *arguments]
        self.process = subprocess.Popen(
            _make_run(told) if through_make else [COMMAND, "up", *told],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=clean_environment(env),
        )
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.ended(patience=60)

    def until(self, words: str, *, patience: float = _START_PATIENCE) -> str:
        """Read on until a line holds the words; returns that line."""
        deadline = time.monotonic() + patience
        while True:
            try:
                line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"{words!r} was not said in:\n" + "\n".join(self.said))
            self.said.append(line)
            if words in line:
                return line

    def ready(self) -> Self:
        """Read on to the end of what it says when everything answers."""
        self.until(READY)
        self.until("Stop with Ctrl-C")
        return self

    @property
    def base_url(self) -> str:
        line = next(line for line in self.said if "/simulator" in line)
        return line.split()[-1].removesuffix("/simulator")

    def stop(self, signum: signal.Signals, *, patience: float = 40.0) -> int:
        """Send the signal; returns the exit code."""
        self.process.send_signal(signum)
        return self.ended(patience=patience)

    def ended(self, *, patience: float) -> int:
        """Wait for its end; everything it still said is in ``said``."""
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            # a child that outlived it would hold the pipe open: that is for the tests to see
            self._reader.join(5)
        while not self._lines.empty():
            line = self._lines.get()
            if line is not None:
                self.said.append(line)
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)
