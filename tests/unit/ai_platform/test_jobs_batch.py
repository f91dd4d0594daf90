"""Batches: whatever stops them and when, every line is submitted under one key and ends once."""

import asyncio
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ai_platform.errors import CommandFailed
from ai_platform.jobs.batch import Ledger, Tally, read_lines, run_batch
from ai_platform.jobs.client import Refused


class Killed(BaseException):
    """The process ends here."""


class Platform:
    """Jobs by idempotency key, as the platform keeps them, and a place where the client dies."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.submissions = 0
        self.dies_at = -1
        self.steps = 0
        self.refuses: Refused | None = None
        self.breaks_off: bool | None = None
        """Whether the job is made although the next request breaks off."""

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self.dies_at:
            raise Killed

    async def submit_patiently(self, job: dict[str, Any], *, key: str) -> dict[str, Any]:
        self._step()
        await asyncio.sleep(0)
        if self.refuses is not None:
            raise self.refuses
        if job["prompt"] == "":
            raise Refused("no", status=422, code="invalid_prompt", detail="A prompt is empty")
        self.submissions += 1
        if self.breaks_off is not None:
            self._broken_off(job, key)
        made = self.jobs.setdefault(key, {"job_id": f"job-{len(self.jobs)}", **job})
        self._step()  # it is there, and the answer is lost
        return made

    def _broken_off(self, job: dict[str, Any], key: str) -> None:
        """As the platform answers under a key whose request broke off, before or after."""
        made, self.breaks_off = self.breaks_off, None
        if made:
            self.jobs[key] = {"job_id": f"job-{len(self.jobs)}", **job}
        raise Refused("?", status=409, code="outcome_unknown", detail="?")

    async def find(self, name: str, value: str) -> str | None:
        self._step()
        found = [job for job in self.jobs.values() if job["metadata"][name] == value]
        assert len(found) <= 1
        return found[0]["job_id"] if found else None

    async def ended(self, job_id: str) -> dict[str, Any]:
        self._step()
        await asyncio.sleep(0)
        (job,) = (job for job in self.jobs.values() if job["job_id"] == job_id)
        status = "FAILED" if job["prompt"] == "fail" else "COMPLETED"
        return {"job_id": job_id, "status": status, "result": job["prompt"]}


async def batch(platform: Platform, source: Path, out: Path, at_once: int = 1) -> Tally:
    with ExitStack() as files:
        return await run_batch(
            platform,  # type: ignore[arg-type] # what it needs of the client
            read_lines(source),
            Ledger.open(source, out, files),
            at_once=at_once,
            defaults={"config_name": "offline"},
            show=lambda tally: None,
        )


def results(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text().splitlines()]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text('"satu"\n\n{"prompt": "dua", "config_name": "x"}\n"fail"\n"\u2028 empat"\n')
    return path


async def test_every_line_ends_in_the_results(source: Path, tmp_path: Path) -> None:
    platform, out = Platform(), tmp_path / "out.jsonl"
    tally = await batch(platform, source, out, at_once=3)
    assert (tally.total, tally.completed, tally.failed) == (4, 3, 1)
    found = {result["line"]: result["result"] for result in results(out)}
    assert found == {1: "satu", 3: "dua", 4: "fail", 5: "\u2028 empat"}
    assert [job["config_name"] for job in platform.jobs.values()].count("offline") == 3


@pytest.mark.parametrize("dies_at", range(1, 13))
async def test_stopped_anywhere_it_goes_on_and_submits_nothing_twice(
    source: Path, tmp_path: Path, dies_at: int
) -> None:
    platform, out = Platform(), tmp_path / "out.jsonl"
    platform.dies_at = dies_at
    with pytest.raises(Killed):
        await batch(platform, source, out)
    ended = [result["line"] for result in results(out)]

    tally = await batch(platform, source, out)

    assert (tally.ended, len(platform.jobs)) == (4, 4)
    found = [result["line"] for result in results(out)]
    assert found == [1, 3, 4, 5]
    assert found[: len(ended)] == ended
    assert platform.submissions <= 5


@pytest.mark.parametrize("made", [True, False])
async def test_a_request_that_broke_off_is_looked_for_and_done_once(
    source: Path, tmp_path: Path, made: bool
) -> None:
    platform, out = Platform(), tmp_path / "out.jsonl"
    platform.breaks_off = made
    assert (await batch(platform, source, out)).ended == 4
    assert len(platform.jobs) == 4


async def test_keys_that_were_forgotten_meanwhile_double_nothing(
    source: Path, tmp_path: Path
) -> None:
    platform, out = Platform(), tmp_path / "out.jsonl"
    platform.dies_at = 2  # the first job is there, and its answer is lost
    with pytest.raises(Killed):
        await batch(platform, source, out)
    platform.jobs = {f"forgotten {key}": job for key, job in platform.jobs.items()}
    await batch(platform, source, out)
    assert len(platform.jobs) == 4


async def test_when_all_is_done_again_does_nothing(source: Path, tmp_path: Path) -> None:
    platform, out = Platform(), tmp_path / "out.jsonl"
    await batch(platform, source, out)
    before, steps = out.read_bytes(), platform.steps
    assert (await batch(platform, source, out)).ended == 4
    assert (out.read_bytes(), platform.steps) == (before, steps)


@pytest.mark.parametrize("cut", [1, 5, 30])
async def test_a_line_that_was_half_written_is_written_anew(
    source: Path, tmp_path: Path, cut: int
) -> None:
    platform, out = Platform(), tmp_path / "out.jsonl"
    await batch(platform, source, out)
    for path in (out, out.with_name("out.jsonl.progress")):
        path.write_bytes(path.read_bytes()[:-cut])
    await batch(platform, source, out)
    assert [result["line"] for result in results(out)] == [1, 3, 4, 5]
    assert len(platform.jobs) == 4


async def test_another_results_file_is_another_run(source: Path, tmp_path: Path) -> None:
    platform = Platform()
    await batch(platform, source, tmp_path / "one.jsonl")
    await batch(platform, source, tmp_path / "two.jsonl")
    assert len(platform.jobs) == 8


async def test_a_line_that_cannot_be_accepted_is_a_result(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('""\n"dua"\n')
    tally = await batch(Platform(), source, out)
    assert (tally.completed, tally.failed) == (1, 1)
    error = {"code": "invalid_prompt", "detail": "A prompt is empty"}
    assert results(out)[0] == {"line": 1, "status": "REFUSED", "error": error}


@pytest.mark.parametrize("status", [401, 403, 429])
async def test_what_is_not_the_lines_fault_stops_the_batch(
    source: Path, tmp_path: Path, status: int
) -> None:
    platform, out = Platform(), tmp_path / "out.jsonl"
    platform.refuses = Refused("no", status=status, code="x", detail="x")
    with pytest.raises(Refused):
        await batch(platform, source, out)
    assert results(out) == []
    platform.refuses = None
    assert (await batch(platform, source, out)).ended == 4


async def test_files_that_do_not_belong_together_are_refused(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("{}\n")
    with pytest.raises(CommandFailed, match="is there already"):
        await batch(Platform(), source, out)
    assert out.read_text() == "{}\n"
    out.unlink()
    await batch(Platform(), source, out)
    source.write_text('"lain"\n')
    with pytest.raises(CommandFailed, match="is not what it was"):
        await batch(Platform(), source, out)


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "line 1 is no JSON"), ('"a"\n7', "line 2 is neither"), ("\n\n", "has no jobs")],
)
def test_a_file_that_cannot_be_read_is_told_by_its_line(
    tmp_path: Path, content: str, words: str
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(content)
    with pytest.raises(CommandFailed, match=words):
        read_lines(source)
