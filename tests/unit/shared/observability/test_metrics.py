"""A worker's metrics can be read on a socket, and a missing worker is no error."""

from pathlib import Path

from prometheus_client import Counter

from shared.config.settings import ObservabilitySettings
from shared.observability.metrics import read_metrics, serve_metrics

SEEN = Counter("metrics_test_seen_total", "For this test")


async def test_metrics_are_served_on_a_socket_in_the_run_folder(tmp_path: Path) -> None:
    SEEN.inc()
    settings = ObservabilitySettings(run_dir=tmp_path)
    async with serve_metrics("worker", settings):
        told = await read_metrics(tmp_path / "worker.metrics.sock")
    assert b"metrics_test_seen_total 1.0" in told
    assert not (tmp_path / "worker.metrics.sock").exists()


async def test_a_worker_that_is_away_has_no_metrics(tmp_path: Path) -> None:
    assert await read_metrics(tmp_path / "nobody.metrics.sock") == b""
