"""How scenarios are run, one after the other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.report import Row


@dataclass(frozen=True, kw_only=True)
class Options:
    """``rounds``: how often each pair is repeated (A B A B). ``quick``: short runs, for seeing that
    everything works; their figures mean little. ``scale``: size of the end-to-end runs.
    ``folder``: for scratch files, empty at start."""

    rounds: int
    quick: bool
    scale: float = 1.0
    folder: Path
    say: Callable[[str], None] = print
    notes: dict[str, str] = field(default_factory=dict)
    """What dominates, by scenario or row; goes into the result file."""

    def seconds(self, whole: float) -> float:
        """How long a run takes: ``whole``, or a fifth of it, at least one second."""
        return max(1.0, whole / 5) if self.quick else whole

    def count(self, whole: int) -> int:
        """How many operations a run makes: ``whole``, or a tenth of it."""
        return max(1, whole // 10) if self.quick else whole


class Scenario(Protocol):
    """``run`` measures and returns its rows; what it has to say about them goes into
    ``options.notes``."""

    name: str
    title: str

    async def run(self, options: Options) -> list[Row]: ...
