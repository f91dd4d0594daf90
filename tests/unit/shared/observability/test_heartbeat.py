"""A heartbeat exists while a service can work, and tells its age."""

import os
import subprocess
import sys
from pathlib import Path

from shared.observability.heartbeat import STALE, age, heartbeat, is_alive


async def test_it_beats_while_the_block_runs_and_ends_with_it(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    assert age(run_dir, "messenger") is None
    async with heartbeat(run_dir, "messenger"):
        assert is_alive(run_dir, "messenger")
        assert not is_alive(run_dir, "gateway")
    assert age(run_dir, "messenger") is None


async def test_missed_beats_are_noticed(tmp_path: Path) -> None:
    async with heartbeat(tmp_path, "messenger"):
        stale = (tmp_path / "messenger.heartbeat").stat().st_mtime - STALE.total_seconds()
        os.utime(tmp_path / "messenger.heartbeat", (stale, stale))
        assert not is_alive(tmp_path, "messenger")


async def test_without_a_folder_nothing_is_written() -> None:
    async with heartbeat(None, "messenger"):
        pass


def _check(run_dir: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "RUN_DIR"}
    if run_dir is not None:
        environment["RUN_DIR"] = str(run_dir)
    return subprocess.run(
        [sys.executable, "-m", "shared.observability.healthcheck", *arguments],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip


def test_the_health_check_says_what_is_wrong(tmp_path: Path) -> None:
    assert "usage" in _check(tmp_path).stderr
    assert "RUN_DIR" in _check(None, "gateway").stderr
    missing = _check(tmp_path, "gateway")
    assert (missing.returncode, "no heartbeat" in missing.stderr) == (1, True)
    (tmp_path / "gateway.heartbeat").touch()
    assert _check(tmp_path, "gateway").returncode == 0
    os.utime(tmp_path / "gateway.heartbeat", (1, 1))
    late = _check(tmp_path, "gateway")
    assert (late.returncode, "last beat" in late.stderr) == (1, True)
