"""Jobs on a terminal."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from ai_platform.jobs.client import FINAL, JobsClient

Json = dict[str, Any]

_COLOURS = {
    "QUEUED": "cyan",
    "PROCESSING": "blue",
    "RETRYING": "yellow",
    "COMPLETED": "green",
    "FAILED": "red",
    "CANCELLED": "bright_black",
}
_PIPE_WIDTH = 240
_WIDEST_MODEL = 20
_BESIDE = 36 + 12 + 6 + 6 + 5 * 2
"""Characters of the other columns of a table of jobs, and of what lies between."""
_SIGNS = {"COMPLETED": "✓", "FAILED": "✗", "CANCELLED": "∅"}


def screen() -> Console:
    """Where tables go. A pipe has no width, and what programs look for must not be cut."""
    wide = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(width=wide, highlight=False)


def plain_table() -> Table:
    """Columns and nothing between them."""
    return Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))


def status_text(status: str) -> str:
    """In its colour, as rich writes it."""
    return f"[{_COLOURS.get(status, 'white')}]{_SIGNS.get(status, '·')} {status.lower()}[/]"


def ago(span: timedelta) -> str:
    """A length of time in its largest unit: ``45 s``, ``3 min``, ``2 h``, ``5 d``."""
    seconds = max(0.0, span.total_seconds())
    for unit, size, until in (("s", 1, 90), ("min", 60, 5400), ("h", 3600, 129_600)):
        if seconds < until:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def jobs_table(jobs: Sequence[Json], *, width: int, now: datetime | None = None) -> Table:
    """One line for each: ids whole, as they are copied; the result in what is left of ``width``."""
    now = now or datetime.now(UTC)
    model = max((len(job["config_name"]) for job in jobs), default=0)
    room = max(12, width - _BESIDE - min(model, _WIDEST_MODEL))
    table = plain_table()
    table.add_column("job", no_wrap=True, min_width=36)
    table.add_column("status", no_wrap=True, min_width=12)
    table.add_column("age", justify="right", no_wrap=True, min_width=6)
    table.add_column("model", no_wrap=True, max_width=_WIDEST_MODEL)
    table.add_column("tokens", justify="right", no_wrap=True, min_width=6)
    table.add_column("result", no_wrap=True, max_width=room)
    for job in jobs:
        age = now - datetime.fromisoformat(job["created_at"])
        table.add_row(
            str(job["job_id"]),
            status_text(job["status"]),
            ago(age),
            escape(job["config_name"]),
            str(job["tokens"] or ""),
            escape(_in_a_line(job)),
        )
    return table


def ending(job: Json) -> str:
    """What there is to say of a job that has ended, in one line."""
    parts = [status_text(job["status"])]
    if job["agent_type"] not in (None, "main"):
        parts.append(f"by the {job['agent_type']} agent")
    if job["error"] is not None and job["status"] == "FAILED":
        parts.append(escape(_why(job)))
    if job["tokens"]:
        parts.append(f"{job['tokens']} tokens")
    if job["cost"]["amount"] != "0":
        parts.append(f"${job['cost']['amount']}")
    if job["finished_at"] is not None:
        took = datetime.fromisoformat(job["finished_at"]) - datetime.fromisoformat(
            job["created_at"]
        )
        parts.append(f"{took.total_seconds():.1f} s")
    return " [dim]·[/] ".join(parts)


class Watch:
    """Shows a job until it has ended. On a terminal: a sign of life, the text as it is written and
    a line about the end; otherwise the result alone, for programs."""

    def __init__(self, client: JobsClient, out: Console, err: Console) -> None:
        self._client = client
        self._out = out
        self._err = err
        self._written = ""

    async def until_ended(self, job_id: str) -> Json:
        """The job as it ended."""
        if not self._out.is_terminal:
            return self._end(await self._client.ended(job_id))
        self._err.print(f"[dim]job {job_id}[/]", highlight=False)
        job: Json = {}
        with self._err.status("[dim]asking[/]") as status:
            async for name, data in self._client.events(job_id):
                if name == "status":
                    job = data
                    status.update(_going_on(job))
                elif name == "delta":
                    self._more(status, data["text"])
                elif name == "reset":
                    self._begin_again(status)
        return self._end(job)

    def _more(self, status: Status, text: str) -> None:
        status.stop()
        self._written += text
        self._out.print(text, end="", markup=False, highlight=False, soft_wrap=True)

    def _begin_again(self, status: Status) -> None:
        if self._written:
            self._err.print("\n[dim]…begins again…[/]")
            self._written = ""
        status.start()

    def _end(self, job: Json) -> Json:
        result = job["result"] or ""
        if self._written and self._written.strip() == result.strip():
            self._out.print()
        elif result:
            if self._written:
                self._err.print("\n[dim]…the answer is:[/]")
            self._out.print(result, markup=False, highlight=False, soft_wrap=True)
        if self._out.is_terminal or job["status"] != "COMPLETED":
            self._err.print(ending(job), highlight=False)
        return job


def _going_on(job: Json) -> str:
    told = status_text(job["status"])
    if job["status"] == "RETRYING" and job["error"] is not None:
        told += f" [dim]({escape(_why(job))}; try {job['retry_count'] + 1})[/]"
    return told if job["status"] not in FINAL else ""


def _why(job: Json) -> str:
    error = job["error"]
    return f"{error['detail'] or ''} ({error['code']})" if error["code"] else str(error["detail"])


def _in_a_line(job: Json) -> str:
    if job["error"] is not None and job["status"] in ("FAILED", "RETRYING"):
        return _why(job)
    return " ".join((job["result"] or "").split())
