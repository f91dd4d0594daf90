"""``python -m bench [scenario…]``: measure against limits and peers; never a verdict."""

import argparse
import asyncio
import importlib
import tempfile
from datetime import date
from pathlib import Path

from rich.console import Console

from bench import machine, report
from bench.runner import Options, Scenario

SCENARIOS = {
    "ingest": "bench.ingest:Ingest",
    "queue": "bench.queue_hop:QueueHop",
    "turn": "bench.turn:Turn",
    "in-flight": "bench.in_flight:InFlight",
    "end-to-end": "bench.end_to_end:EndToEnd",
    "start": "bench.start:Start",
}


def main() -> None:
    arguments = _parser().parse_args()
    console = Console(width=max(120, Console().width))
    facts = machine.facts()
    today = arguments.date or date.today().isoformat()  # noqa: DTZ011 - the file's name, by local day
    for name in arguments.scenarios or SCENARIOS:
        notes: dict[str, str] = {}
        rows = _run(name, arguments, notes, console)
        path = report.save(today, facts, rows, notes, arguments.results)
        for about, note in notes.items():
            console.print(f"[bold]{about}[/]: {note}", highlight=False)
    console.print(f"Written to {path}")


def _run(
    name: str, arguments: argparse.Namespace, notes: dict[str, str], console: Console
) -> list[report.Row]:
    scenario = _load(SCENARIOS[name])
    console.rule(scenario.title)
    with tempfile.TemporaryDirectory(prefix="aip-bench-") as folder:
        options = Options(
            rounds=arguments.rounds,
            quick=arguments.quick,
            scale=arguments.scale,
            folder=Path(folder),
            say=lambda text: console.print(f"[dim]{text}[/]", highlight=False),
            notes=notes,
        )
        rows = asyncio.run(scenario.run(options))
    report.show(scenario.title, rows, console)
    return rows


def _load(address: str) -> Scenario:
    """Imported only when it runs: a scenario may need a peer that is not installed."""
    module, _, name = address.partition(":")
    scenario: Scenario = getattr(importlib.import_module(module), name)()
    return scenario


def _scenario(name: str) -> str:
    if name not in SCENARIOS:
        raise argparse.ArgumentTypeError(f"there is no {name}; choose from {', '.join(SCENARIOS)}")
    return name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "scenarios", nargs="*", type=_scenario, help=f"all, or some of: {', '.join(SCENARIOS)}"
    )
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each pair (3)")
    parser.add_argument("--quick", action="store_true", help="short runs: does it work at all")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the end-to-end runs (1)")
    parser.add_argument("--results", type=Path, default=report.RESULTS, metavar="FOLDER")
    parser.add_argument("--date", help="name of the result file (today)")
    return parser


if __name__ == "__main__":
    main()
