"""Several processes on one page of metrics: valid text, each sample with its process."""

from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from shared.config.settings import ObservabilitySettings
from shared.observability.merged_metrics import merge, read_all
from shared.observability.metrics import serve_metrics


def page(times: int) -> bytes:
    registry = CollectorRegistry()
    sent = Counter("merge_sent", "Bubbles \\ sent", ["outcome"], registry=registry)
    sent.labels(outcome='o"k').inc(times)
    Gauge("merge_busy", "Busy", registry=registry).set(times)
    Histogram("merge_seconds", "Seconds", buckets=(1, 2), registry=registry).observe(times)
    return generate_latest(registry)


def samples(text: bytes, name: str) -> dict[str, float]:
    return {
        sample.labels["process"]: sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name == name
    }


def test_a_family_of_several_processes_is_told_once_with_every_sample() -> None:
    merged = merge({"web": page(1), "worker": page(3)})

    lines = merged.decode().splitlines()
    for name in ("merge_sent_total", "merge_busy", "merge_seconds"):
        assert len([line for line in lines if line.startswith(f"# TYPE {name} ")]) == 1
        assert len([line for line in lines if line.startswith(f"# HELP {name} ")]) == 1
    assert 'merge_sent_total{outcome="o\\"k",process="worker"} 3.0' in lines
    assert "# HELP merge_sent_total Bubbles \\\\ sent" in lines
    for name in ("merge_sent_total", "merge_busy", "merge_seconds_sum"):
        assert samples(merged, name) == {"web": 1.0, "worker": 3.0}
    assert 'merge_seconds_bucket{le="2.0",process="web"} 1.0' in lines
    assert 'merge_seconds_bucket{le="2.0",process="worker"} 0.0' in lines


def test_samples_of_one_family_stand_together() -> None:
    names = [
        line.split("{")[0]
        for line in merge({"a": page(1), "b": page(2)}).decode().splitlines()
        if not line.startswith("#")
    ]
    sent = [place for place, name in enumerate(names) if name == "merge_sent_total"]
    assert sent == list(range(sent[0], sent[0] + 2))


def test_one_process_alone_and_one_that_did_not_answer() -> None:
    assert samples(merge({"web": page(1), "worker": b""}), "merge_busy") == {"web": 1.0}


NAME = "python_info"  # in every process' registry


async def test_neighbours_are_asked_and_we_are_not_asked_twice(tmp_path: Path) -> None:
    run = ObservabilitySettings(run_dir=tmp_path)
    (tmp_path / "gone.metrics.sock").touch()  # left by a process that was killed
    async with serve_metrics("web", run):
        assert samples(await read_all("gateway", tmp_path), NAME) == {"web": 1.0}
    assert samples(await read_all("gateway", tmp_path), NAME) == {"gateway": 1.0}
    assert samples(await read_all("gateway", None), NAME) == {"gateway": 1.0}
