"""What jobs and queues look like on a terminal, without its colours."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from ai_platform.jobs.display import ago, ending, jobs_table
from ai_platform.jobs.queue_tables import breaker_table, queue_table
from shared.breakers import BreakerPicture, WorkerPicture
from shared.messaging.status import QueueStatus

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
JOB: dict[str, Any] = {
    "job_id": "019ac000-0000-7000-8000-000000000000",
    "status": "COMPLETED",
    "result": "Kopi luwak\nadalah [bold]kopi[/bold]. " * 20,
    "agent_type": "main",
    "error": None,
    "tokens": 42,
    "cost": {"amount": "0.00012", "currency": "USD"},
    "config_name": "default-smart",
    "created_at": "2026-11-25T11:57:00Z",
    "finished_at": "2026-11-25T11:57:02.500Z",
}


def shown(what: Any, width: int = 120) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(what)
    return out.getvalue().rstrip("\n").split("\n")


@pytest.mark.parametrize(
    ("span", "words"),
    [(0, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (7200, "2 h"), (2e5, "2 d")],
)
def test_a_length_of_time_is_read_at_a_glance(span: float, words: str) -> None:
    assert ago(timedelta(seconds=span)) == words


@pytest.mark.parametrize("width", [100, 130, 200])
def test_a_job_is_one_line_with_its_whole_id(width: int) -> None:
    failed = JOB | {"status": "FAILED", "error": {"code": "x_code", "detail": "Away"}}
    head, *lines = shown(jobs_table([JOB, failed], width=width, now=NOW), width)
    assert head.split() == ["job", "status", "age", "model", "tokens", "result"]
    assert len(lines) == 2
    for line in lines:
        assert line.startswith(JOB["job_id"])
        assert "default-smart" in line
        assert "3 min" in line
    assert "[bold]" in lines[0] or width < 130
    assert "Away (x_co" in lines[1]


def test_the_end_of_a_job_says_what_it_took() -> None:
    plain = Console(width=200, file=io.StringIO()).render_str(ending(JOB)).plain
    assert plain == "✓ completed · 42 tokens · $0.00012 · 2.5 s"


def test_queues_and_breakers_are_tables() -> None:
    queue = QueueStatus(
        queue="ai_tasks", kind="job.run", waiting=1200, planned=3, leased=32, failing=2,
        oldest_due=timedelta(minutes=4), dead=1,
    )  # fmt: skip
    table = shown(queue_table([queue, queue]))
    assert table[1].split() == ["ai_tasks", "job.run", "1200", "3", "32", "2", "4", "min", "1"]
    assert table[2].split()[0] == "job.run"

    breaker = BreakerPicture(
        name="openai:gpt:ab12", state="open", calls=9, failures=5, refused=7, opened=1,
        cause="model_unavailable", retry_in_seconds=41.4,
    )  # fmt: skip
    line = shown(breaker_table([WorkerPicture("llm-worker@a:1", [breaker])]))[1]
    assert "○ open model_unavailable, probe in 41 s" in line
    assert line.split()[-4:] == ["9", "5", "7", "1"]
