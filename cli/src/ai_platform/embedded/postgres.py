"""A real PostgreSQL of our own: one data directory, one unix socket, no port, no orphan.

The server is a direct child in a session of its own; the kernel tells it to shut down when we die.
"""

import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO
from urllib.parse import quote

from ai_platform.embedded import child
from ai_platform.embedded.binaries import major_version, wheel_bin_dir
from ai_platform.embedded.data_dir import runtime_dir
from ai_platform.embedded.unprivileged import Unprivileged
from ai_platform.errors import EmbeddedServerError

SUPERUSER = "postgres"
_START_PATIENCE = 60.0
_STOP_PATIENCE = 20.0


class EmbeddedPostgres:
    """One server on ``data_dir``. `start` makes the cluster when there is none.

    Only this OS user reaches it: the socket lies in a directory of mode 0700 and every role is
    trusted there. It stops by itself when we die.
    """

    name = "PostgreSQL"

    def __init__(
        self, data_dir: Path, *, bin_dir: Path | None = None, durable: bool = True
    ) -> None:
        self._cluster = data_dir / "postgres"
        self.log = data_dir / "logs" / "postgres.log"
        self._data_dir = data_dir
        self._bin_dir = bin_dir
        self._durable = durable
        self._lock: IO[str] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.socket_dir = runtime_dir(data_dir)

    def url(self, role: str, database: str) -> str:
        """The address as SQLAlchemy takes it."""
        return f"postgresql+asyncpg://{role}@/{database}?host={quote(str(self.socket_dir))}"

    def start(self) -> None:
        """Start the server and return when it answers.

        Raises:
            EmbeddedServerError: another process uses the data directory, its major version is
                another, or the server does not come up.
        """
        self.prepare()
        self.launch()
        self.wait_until_ready()

    def prepare(self) -> None:
        """Take the data directory and make the cluster when there is none.

        Raises:
            EmbeddedServerError: as `start`.
        """
        self._data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._lock is None:
            self._take_lock()
        try:
            self._check_version()
            self._user.own(self._data_dir)
            self._user.own(self.socket_dir)
            self._user.check_reaches(self._binaries, self._data_dir)
            _end_predecessor(self._cluster)
            if not (self._cluster / "PG_VERSION").exists():
                self._initdb()
        except BaseException:
            self._release_lock()
            raise

    def launch(self) -> None:
        """Start the process. Call it from the main thread: the kernel ends the server with the
        thread that started it."""
        self.process = child.spawn(
            [*self._user.prefix, str(self._binaries / "postgres"), *self._options()],
            log=self.log,
            death_signal=signal.SIGINT,  # fast shutdown
        )

    def stop(self, *, immediately: bool = False) -> None:
        """Shut down; ``immediately`` is the crash that tests want."""
        if self.process is not None:
            signum = signal.SIGQUIT if immediately else signal.SIGINT
            child.stop(self.process, signum, patience=_STOP_PATIENCE)
            self.process = None
        self._release_lock()

    @functools.cached_property
    def _binaries(self) -> Path:
        return self._bin_dir or wheel_bin_dir()

    @functools.cached_property
    def _user(self) -> Unprivileged:
        return Unprivileged()

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
            "shared_buffers": "64MB",
            "max_connections": "100",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_error_verbosity": "terse",
            "log_min_messages": "warning",
            # statements and parameters may hold what customers wrote
            "log_min_error_statement": "panic",
            "log_parameter_max_length_on_error": "0",
            "log_statement": "none",
        }
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        options = ["-D", str(self._cluster)]
        for name, value in settings.items():
            options += ["-c", f"{name}={value}"]
        return options

    def _take_lock(self) -> None:
        import fcntl  # Windows has none, and the doctor reads this module there

        lock = (self._data_dir / "postgres.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise EmbeddedServerError(
                f"Another process already runs on {self._data_dir}; stop it, or choose another "
                "--data-dir"
            ) from None
        self._lock = lock

    def _check_version(self) -> None:
        stamp = self._cluster / "PG_VERSION"
        if not stamp.exists():
            return
        have, need = stamp.read_text().strip(), str(major_version(self._binaries))
        if have != need:
            raise EmbeddedServerError(
                f"The data in {self._data_dir} was written by PostgreSQL {have}, this version "
                f"brings {need}: move it with pg_dump, or choose another --data-dir"
            )

    def _initdb(self) -> None:
        # a directory of a start that was killed halfway has no PG_VERSION; initdb wants it empty
        shutil.rmtree(self._cluster, ignore_errors=True)
        options = ["-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--no-instructions"]
        if major_version(self._binaries) >= 17:
            options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        else:
            options += ["--locale=C.UTF-8"]
        if not self._durable:
            options.append("--no-sync")
        initdb = str(self._binaries / "initdb")
        argv = [*self._user.prefix, initdb, "-D", str(self._cluster)]
        made = subprocess.run([*argv, *options], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise EmbeddedServerError(
                f"PostgreSQL cannot create its data in {self._cluster}: "
                f"{(made.stderr or made.stdout).strip()}"
            )

    def wait_until_ready(self) -> None:
        """Return when the server answers.

        Raises:
            EmbeddedServerError: it ended, or does not answer in a minute; it is stopped then.
        """
        process, status = self.process, self._cluster / "postmaster.pid"
        assert process is not None
        deadline = time.monotonic() + _START_PATIENCE
        while time.monotonic() < deadline and process.poll() is None:
            if _reports_ready(status, process.pid):
                return
            time.sleep(0.01)
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])
        self.stop()
        raise EmbeddedServerError(f"PostgreSQL did not start; the end of {self.log}:\n{tail}")


def _reports_ready(status: Path, pid: int) -> bool:
    """The postmaster writes its pid into the first line of this file, its state into the last."""
    try:
        lines = status.read_text().split()
    except FileNotFoundError:
        return False
    return bool(lines) and lines[0] == str(pid) and lines[-1] == "ready"


def _end_predecessor(cluster: Path) -> None:
    """Stop the server of a supervisor that is no more.

    On Linux the kernel has told it to shut down, which takes a moment; elsewhere nobody has. The
    caller holds the lock, so what still runs on the cluster belongs to nobody.
    """
    status = cluster / "postmaster.pid"
    try:
        pid = int(status.read_text().split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return
    deadline = time.monotonic() + _STOP_PATIENCE
    while _runs_on(cluster, pid):
        if time.monotonic() > deadline:
            raise EmbeddedServerError(f"An old PostgreSQL (process {pid}) does not stop; end it")
        os.kill(pid, signal.SIGINT)
        time.sleep(0.1)


def _runs_on(cluster: Path, pid: int) -> bool:
    """Whether ``pid`` is a server on this cluster; after a reboot the number may be anybody's."""
    if sys.platform == "linux":
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return False
    else:
        asked = ["ps", "-o", "args=", "-p", str(pid)]
        command = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    return str(cluster) in command
