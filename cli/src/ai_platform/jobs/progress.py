"""How far a batch is, on a terminal."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ai_platform.jobs.batch import Tally


class BatchProgress:
    """A bar that moves; where nobody looks, nothing."""

    def __init__(self, total: int, *, begun: int) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=None, complete_style="green", finished_style="green"),
            MofNCompleteColumn(),
            TextColumn("[green]✓ {task.fields[completed_jobs]}[/] [red]{task.fields[failed]}[/]"),
            TimeElapsedColumn(),
            TextColumn("[dim]left[/]"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task(
            "jobs", total=total, completed=begun, completed_jobs=0, failed=""
        )
        if begun:
            self._progress.console.print(f"[dim]{begun} of {total} were done before[/]")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, tally: Tally) -> None:
        """Move the bar."""
        self._progress.update(
            self._task,
            completed=tally.ended,
            completed_jobs=tally.completed,
            failed=f"✗ {tally.failed}" if tally.failed else "",
        )
