"""A file whose age says that a service lives: read by `/ready`, by container health checks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from time import time

INTERVAL = timedelta(seconds=5)
STALE = timedelta(seconds=15)
"""Three beats missed: the service hangs, or is gone."""


@asynccontextmanager
async def heartbeat(run_dir: Path | None, service: str) -> AsyncIterator[None]:
    """Beat while the block runs. Enter it when the service can work, not before.

    The beat is a task of the service's own loop: a loop that is blocked stops beating.
    """
    if run_dir is None:
        yield
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    path = _path(run_dir, service)
    path.touch()
    task = asyncio.create_task(_beat(path), name=f"heartbeat-{service}")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        path.unlink(missing_ok=True)


def age(run_dir: Path, service: str) -> timedelta | None:
    """Time since the last beat; ``None`` when the service never beat or has ended."""
    try:
        beaten = _path(run_dir, service).stat().st_mtime
    except FileNotFoundError:
        return None
    return timedelta(seconds=max(0.0, time() - beaten))


def is_alive(run_dir: Path, service: str) -> bool:
    """Whether the service has beaten lately."""
    since = age(run_dir, service)
    return since is not None and since < STALE


def _path(run_dir: Path, service: str) -> Path:
    return run_dir / f"{service}.heartbeat"


async def _beat(path: Path) -> None:
    while True:
        await asyncio.sleep(INTERVAL.total_seconds())
        path.touch()
