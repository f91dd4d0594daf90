"""Running a server that refuses to run as root."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

from ai_platform.errors import EmbeddedServerError


class Unprivileged:
    """PostgreSQL refuses to run as root; so root starts it as nobody in particular.

    First choice is a user namespace in which our files look like an ordinary user's. Where that
    is refused (some containers), the OS user ``nobody`` runs it and owns the data.
    """

    def __init__(self) -> None:
        self._is_root = os.geteuid() == 0
        self._is_nobody = self._is_root and not namespaces_work()

    @property
    def prefix(self) -> list[str]:
        """What to put before a command."""
        if not self._is_root:
            return []
        if not self._is_nobody:
            return ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
        if shutil.which("setpriv") is None:
            raise EmbeddedServerError(
                "PostgreSQL does not run as root, and neither user namespaces nor setpriv work "
                "here: start as an ordinary user"
            )
        # changing the user clears the parent-death signal, so setpriv sets it anew
        return [
            "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=INT",
        ]  # fmt: skip

    def own(self, path: Path) -> None:
        if self._is_nobody:
            shutil.chown(path, "nobody", "nogroup")

    def check_reaches(self, bin_dir: Path, data_dir: Path) -> None:
        """Refuse with a reason where ``nobody`` may not enter the folders above ours."""
        if not self._is_nobody:
            return
        for path in (bin_dir / "postgres", data_dir):
            probe = [*self.prefix, "test", "-x", str(path)]
            if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
                raise EmbeddedServerError(
                    f"PostgreSQL does not run as root, and the user nobody cannot reach {path}: "
                    "start as an ordinary user, or choose a --data-dir below /var/lib"
                )


@functools.cache
def namespaces_work() -> bool:
    """Whether this machine lets us make user namespaces."""
    if shutil.which("unshare") is None:
        return False
    probe = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "true"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0
