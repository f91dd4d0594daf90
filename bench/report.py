"""What a run measured: rows with their spread and goal, on screen and in a file."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure: the median of its rounds, the least and the greatest of them, and its goal.

    A row without a goal is there to be read beside the others.
    """

    id: str
    value: float
    lo: float
    hi: float
    unit: str = ""
    goal: float | None = None
    better: Literal["higher", "lower"] = "higher"
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the goal is reached; ``None`` where there is none."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal


def row(id: str, values: Iterable[float], **rest: Any) -> Row:
    """The row of one figure from the values of all rounds."""
    ordered = sorted(values)
    return Row(id=id, value=median(ordered), lo=ordered[0], hi=ordered[-1], **rest)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours over theirs, round by round: the two of one round saw the same machine."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that ``share`` (0 to 1) of the sorted values do not exceed, by nearest rank."""
    if not ordered:
        raise ValueError("no values")
    # a share such as 0.99 is not exact: 100 values times it must not come out just above 99
    rank = math.ceil(len(ordered) * share - 1e-9)
    return ordered[max(1, rank) - 1]


def figure(value: float) -> str:
    """Three significant digits without an exponent."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def show(title: str, rows: Sequence[Row], console: Console) -> None:
    table = Table(title=title, title_justify="left", header_style="bold")
    for name in ("what", "value", "lo..hi", "unit", "goal", "holds", "note"):
        right = name in ("value", "lo..hi", "goal")
        table.add_column(name, justify="right" if right else "left")
    for each in rows:
        sign = "≥" if each.better == "higher" else "≤"
        table.add_row(
            each.id,
            figure(each.value),
            f"{figure(each.lo)}..{figure(each.hi)}",
            each.unit,
            "" if each.goal is None else f"{sign} {figure(each.goal)}",
            {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[each.holds],
            each.note,
        )
    console.print(table)


def save(
    date: str,
    machine: Mapping[str, Any],
    rows: Sequence[Row],
    notes: Mapping[str, str],
    folder: Path = RESULTS,
) -> Path:
    """Write ``<date>.json``; rows of the same day that were not measured again are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{date}.json"
    before = json.loads(path.read_text()) if path.exists() else {"rows": [], "notes": {}}
    measured = {each.id: _as_json(each) for each in rows}
    kept = {each["id"]: each for each in before["rows"]}
    content = {
        "date": date,
        "machine": machine,
        "rows": list((kept | measured).values()),
        "notes": before["notes"] | dict(notes),
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return path


def _as_json(each: Row) -> dict[str, Any]:
    fields = asdict(each) | {"holds": each.holds}
    return {name: _rounded(value) for name, value in fields.items() if value not in (None, "")}


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
