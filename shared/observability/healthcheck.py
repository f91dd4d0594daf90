"""A container's health check: ``python -m shared.observability.healthcheck SERVICE``.

Reads RUN_DIR; exits 0 when the service's heartbeat is fresh, else 1 with a line that says why.
"""

import os
import sys
from pathlib import Path

from shared.observability.heartbeat import STALE, age


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m shared.observability.healthcheck SERVICE")
    run_dir = os.environ.get("RUN_DIR")
    if not run_dir:
        sys.exit("RUN_DIR is not set: there is no heartbeat to read")
    since = age(Path(run_dir), sys.argv[1])
    if since is None:
        sys.exit(f"{sys.argv[1]} has no heartbeat in {run_dir}")
    if since >= STALE:
        sys.exit(f"{sys.argv[1]} last beat {since.total_seconds():.0f} s ago")


if __name__ == "__main__":
    main()
