"""Following the log files of child processes."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_ROTATE_BYTES = 10_000_000
_LONGEST = 300
_LOUD = frozenset({"warning", "error", "critical"})
_HIDDEN = frozenset({"event", "level", "timestamp", "service", "trace"})


@dataclass
class LogTail:
    """New lines of one file since the last look."""

    path: Path
    _offset: int = field(init=False)
    _rest: bytes = field(init=False, default=b"")

    def __post_init__(self) -> None:
        """Begin at the end; a file that has grown large is set aside first."""
        if self.path.exists() and self.path.stat().st_size > _ROTATE_BYTES:
            self.path.replace(self.path.with_suffix(self.path.suffix + ".1"))
        self._offset = self.path.stat().st_size if self.path.exists() else 0

    def lines(self) -> list[str]:
        """The whole lines that were added."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                added = file.read()
        except FileNotFoundError:
            return []
        self._offset += len(added)
        *whole, self._rest = (self._rest + added).split(b"\n")
        return [line.decode(errors="replace") for line in whole]


def readable(line: str, *, verbose: bool) -> str | None:
    """A log line for the screen: warnings and worse, with ``verbose`` every line.

    What is not JSON was written by the interpreter or a library; it is shown only when asked for,
    and stays in the file.
    """
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        return line if verbose and line.strip() else None
    level = str(event.get("level", "info"))
    if not verbose and level not in _LOUD:
        return None
    return _one_line(level, event)


def _one_line(level: str, event: dict[str, Any]) -> str:
    told = (f"{key}={value}" for key, value in event.items() if key not in _HIDDEN)
    line = f"{event.get('service', '')} {level}: {event.get('event', '')} {' '.join(told)}"
    return " ".join(line.split())[:_LONGEST]
