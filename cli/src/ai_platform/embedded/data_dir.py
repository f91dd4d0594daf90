"""The folder of one installation: where it is, what lies where in it, who is running on it."""

import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Self

from ai_platform.errors import CommandFailed

_SOCKET_PATH_LIMIT = 103
_LONGEST_SOCKET_NAME = ".s.PGSQL.5432.lock"


def default_data_dir() -> Path:
    """Where data goes when nobody says: the user's data folder of this platform."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "ai-platform"
    base = os.environ.get("XDG_DATA_HOME", "")
    # the XDG rules say that a relative path is to be ignored
    return (Path(base) if os.path.isabs(base) else Path.home() / ".local/share") / "ai-platform"


class AlreadyRunning(CommandFailed):
    """Two supervisors on one data directory would tear each other's data."""


@dataclass(frozen=True, kw_only=True)
class RunningServer:
    """What a running server tells other commands, in ``run.json``. It holds no secret."""

    pid: int
    base_url: str
    database_url: str | None
    database_migration_url: str | None
    """``None``: the server uses the database that the environment names."""
    redis_url: str | None
    demo_login: bool
    """Whether the demo shop may have an API key: only where nobody else reaches the server."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))


@dataclass(frozen=True)
class DataDir:
    """Paths inside one data directory, which only this user may enter."""

    path: Path

    @property
    def credentials(self) -> Path:
        return self.path / "credentials.json"

    @property
    def demo(self) -> Path:
        """How to enter the demo shop."""
        return self.path / "demo.json"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def media(self) -> Path:
        return self.path / "media"

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own folder."""
        return self.path / "postgres"

    @property
    def _run_file(self) -> Path:
        return self.path / "run.json"

    @property
    def _lock_file(self) -> Path:
        return self.path / "up.lock"

    def make(self) -> None:
        """Make the folder, for this user alone.

        Raises:
            CommandFailed: it cannot be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise CommandFailed(
                f"Cannot make the data directory {self.path}: {error.strerror}; "
                "choose another --data-dir"
            ) from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise CommandFailed(f"Cannot write to {self.path}; choose another --data-dir")

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Be the only supervisor here while the block runs.

        Raises:
            AlreadyRunning: another one is.
        """
        self.make()
        with self._lock_file.open("w") as lock:
            if not _lock(lock, patience=0.5):
                raise AlreadyRunning(
                    f"AI Platform already runs on {self.path}; stop it, or choose another "
                    "--data-dir"
                )
            self._run_file.unlink(missing_ok=True)
            try:
                yield
            finally:
                self._run_file.unlink(missing_ok=True)

    def announce(self, server: RunningServer) -> None:
        """Tell other commands that the server answers now."""
        write_private(self._run_file, server.to_json())

    def running(self) -> RunningServer | None:
        """The server that answers here, if any. A file left by a killed one is not believed."""
        if sys.platform == "win32":
            return None  # no embedded server runs there
        try:
            with self._lock_file.open("a") as lock:
                if _lock(lock):
                    return None
            return RunningServer.from_json(self._run_file.read_text())
        except FileNotFoundError:
            return None


def _lock(file: IO[str], *, patience: float = 0.0) -> bool:
    """Take the lock. `running` holds it for an instant, so a supervisor is patient for a moment."""
    import fcntl  # Windows has none, and commands that need no lock run there

    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step; only this user can read it at any moment."""
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def runtime_dir(data_dir: Path) -> Path:
    """A short private folder for sockets: their paths end at 103 bytes, data directories do not.

    Raises:
        CommandFailed: somebody else owns the folder of that name.
    """
    digest = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    path = base / f"aip-{os.geteuid()}-{digest}"
    if len(str(path / _LONGEST_SOCKET_NAME)) > _SOCKET_PATH_LIMIT or not base.is_dir():
        path = Path("/tmp") / path.name  # noqa: S108 - made 0700 and its owner checked
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if path.is_symlink() or status.st_uid not in _trusted_owners():
        raise CommandFailed(f"{path} belongs to somebody else; remove it")
    path.chmod(0o700)
    return path


def _trusted_owners() -> set[int]:
    """Ourselves, and for root also the user under which it may have to run PostgreSQL."""
    import pwd  # Windows has none

    owners = {os.geteuid()}
    if os.geteuid() == 0:
        with suppress(KeyError):
            owners.add(pwd.getpwnam("nobody").pw_uid)
    return owners
