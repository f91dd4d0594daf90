"""Many jobs from a file, their results into another, and nothing twice however often it stops.

Beside the results lies a journal, ``<results>.progress``: the run's own id, kept before anything is
submitted, and then for each line that its submission began and which job it became. A line whose
answer was lost is looked for by its mark in the jobs' metadata, and else submitted again under the
same idempotency key, under which the platform answers with the job that it made then.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self
from uuid import uuid4

from ai_platform.errors import CommandFailed
from ai_platform.jobs.client import JobsClient, Refused

Json = dict[str, Any]

MARK = "batch_line"
"""In the metadata of the jobs."""
_LINE_ENDS = {ord(sign): f"\\u{ord(sign):04x}" for sign in "\x85\u2028\u2029"}
"""What JSON leaves as it is and some readers take for the end of a line."""


@dataclass(frozen=True)
class Line:
    """A job that was asked for; ``number`` counts the file's lines from 1."""

    number: int
    job: Json


@dataclass
class Tally:
    """How far it is."""

    total: int
    completed: int = 0
    failed: int = 0

    @property
    def ended(self) -> int:
        return self.completed + self.failed

    def count(self, result: Json) -> None:
        if result["status"] == "COMPLETED":
            self.completed += 1
        else:
            self.failed += 1


def read_lines(path: Path) -> list[Line]:
    """The jobs of a JSONL file: each line the body of ``POST /v1/jobs``, or a text alone, which is
    its prompt. Empty lines are passed over.

    Raises:
        CommandFailed: a line is neither.
    """
    lines = []
    try:
        texts = path.read_text(encoding="utf-8").split("\n")  # no other sign ends a line of JSONL
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{path} is not written in UTF-8") from error
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            continue
        try:
            asked = json.loads(text)
        except ValueError as error:
            raise CommandFailed(f"{path}, line {number} is no JSON") from error
        if isinstance(asked, str):
            asked = {"prompt": asked}
        if not isinstance(asked, dict):
            raise CommandFailed(f"{path}, line {number} is neither an object nor a text")
        lines.append(Line(number, asked))
    if not lines:
        raise CommandFailed(f"{path} has no jobs")
    return lines


@dataclass
class Ledger:
    """The two files that are written. Each entry is a line, complete or not there: what a crash
    left half written is cut off when the files are opened again."""

    run: str
    jobs: dict[int, str]
    """The job that a line became."""
    begun: set[int]
    """Lines that may have become a job, though nobody told us which."""
    ended: dict[int, Json]
    _journal: IO[bytes] = field(repr=False)
    _results: IO[bytes] = field(repr=False)

    @classmethod
    def open(cls, source: Path, out: Path, files: ExitStack) -> Self:
        """Begin a run, or go on with the one that these files hold.

        Raises:
            CommandFailed: they belong to another source, or to none.
        """
        journal = out.with_name(out.name + ".progress")
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        if out.exists() and out.stat().st_size and not journal.exists():
            raise CommandFailed(f"{out} is there already; choose another --out")
        writing_journal, entries = _open(journal, files)
        writing_results, results = _open(out, files)
        if entries:
            head, *rest = entries
            if head.get("source_sha256") != digest:
                raise CommandFailed(
                    f"{source} is not what it was when {out} was begun; choose another --out"
                )
        else:
            head, rest = {"run": uuid4().hex, "source_sha256": digest}, []
            _append(writing_journal, head)
            os.fsync(writing_journal.fileno())  # before anything is submitted under its name
        return cls(
            run=head["run"],
            jobs={entry["line"]: entry["job_id"] for entry in rest if "job_id" in entry},
            begun={entry["line"] for entry in rest},
            ended={result["line"]: result for result in results},
            _journal=writing_journal,
            _results=writing_results,
        )

    def key(self, line: Line) -> str:
        """Under which the line is submitted, each time."""
        return f"batch-{self.run}-{line.number}"

    def marked(self, line: Line) -> Json:
        """The line's job with its mark, by which it is found again."""
        metadata = line.job.get("metadata") or {}
        if not isinstance(metadata, dict):
            return line.job  # the platform says what is wrong with it
        return {**line.job, "metadata": {**metadata, MARK: self.key(line)}}

    def begin(self, line: Line) -> None:
        _append(self._journal, {"line": line.number})

    def accepted(self, line: Line, job_id: str) -> None:
        self.jobs[line.number] = job_id
        _append(self._journal, {"line": line.number, "job_id": job_id})

    def end(self, line: Line, result: Json) -> None:
        self.ended[line.number] = {"line": line.number, **result}
        _append(self._results, self.ended[line.number])


async def run_batch(
    client: JobsClient,
    lines: list[Line],
    ledger: Ledger,
    *,
    at_once: int,
    defaults: Json,
    show: Callable[[Tally], None],
) -> Tally:
    """Do what is not done yet, ``at_once`` jobs at a time; what each became is in the ledger.

    ``defaults`` stand where a line says nothing. A job that cannot be accepted is a result too.

    Raises:
        CommandFailed: the server is gone, or knows the key no more; the ledger holds the rest.
    """
    tally = Tally(total=len(lines))
    for result in ledger.ended.values():
        tally.count(result)
    show(tally)
    waiting = iter([line for line in lines if line.number not in ledger.ended])

    async def work(taken: Iterator[Line]) -> None:
        for line in taken:
            result = await _one(client, line, ledger, defaults)
            ledger.end(line, result)
            tally.count(result)
            show(tally)

    tasks = [asyncio.create_task(work(waiting)) for _ in range(at_once)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return tally


async def _one(client: JobsClient, line: Line, ledger: Ledger, defaults: Json) -> Json:
    job_id = ledger.jobs.get(line.number)
    if job_id is None:
        try:
            job_id = await _accepted(client, line, ledger, defaults)
        except Refused as error:
            if error.status in (401, 403, 429, 503):
                raise  # it is not the line's fault
            return {"status": "REFUSED", "error": {"code": error.code, "detail": error.detail}}
        ledger.accepted(line, job_id)
    return await client.ended(job_id)


async def _accepted(client: JobsClient, line: Line, ledger: Ledger, defaults: Json) -> str:
    """The job that the line is, or becomes now."""
    key, job = ledger.key(line), {**defaults, **ledger.marked(line)}
    if line.number in ledger.begun:
        found = await client.find(MARK, key)
        if found is not None:
            return found
    else:
        ledger.begin(line)
    try:
        return str((await client.submit_patiently(job, key=key))["job_id"])
    except Refused as error:
        if error.code != "outcome_unknown":
            raise
    # the request broke off long ago: it made the job, or it never will
    found = await client.find(MARK, key)
    if found is None:
        again = f"{key}-{uuid4().hex}"
        found = str((await client.submit_patiently(job, key=again))["job_id"])
    return found


def _open(path: Path, files: ExitStack) -> tuple[IO[bytes], list[Json]]:
    try:
        file = files.enter_context(path.open("a+b"))
        file.seek(0)
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        entries = [json.loads(line) for line in whole.splitlines()]
    except (OSError, ValueError) as error:
        raise CommandFailed(f"{path} cannot be read or written: choose another --out") from error
    file.truncate(len(whole))
    return file, entries


def _append(file: IO[bytes], entry: Json) -> None:
    written = json.dumps(entry, ensure_ascii=False).translate(_LINE_ENDS)
    file.write(written.encode() + b"\n")
    file.flush()
