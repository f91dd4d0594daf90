"""``python -m tests.mutants [names…]``: plant faults, and see that the tests catch each one."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.mutants.hunt import NotClean, Result, Verdict, hunt
from tests.mutants.mutant import Mutant
from tests.mutants.page import PAGE, page
from tests.mutants.planted import PLANTED

console = Console(soft_wrap=True)


def main() -> int:
    options = _options()
    if options.table:
        PAGE.write_text(page())
        return 0
    mutants = _chosen(options.names)
    try:
        results = asyncio.run(hunt(mutants, at_once=options.jobs, tell=console.print))
    except NotClean as error:
        console.print(f"[red]The tests fail without any mutant:[/red]\n{error}", markup=True)
        return 1
    _show(results)
    caught = sum(result.verdict is Verdict.CAUGHT for result in results)
    sys.stdout.write(f"{len(results)} planted, {caught} caught\n")
    return 0 if caught == len(results) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="mutants or rules to plant; all without")
    parser.add_argument("--jobs", type=int, default=2, help="copies at work at once")
    parser.add_argument("--table", action="store_true", help=f"only write {PAGE.name} anew")
    return parser.parse_args()


def _chosen(names: Sequence[str]) -> list[Mutant]:
    known = {mutant.name for mutant in PLANTED} | {mutant.rule for mutant in PLANTED}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"no such mutant or rule: {', '.join(unknown)}")
    return [each for each in PLANTED if not names or {each.name, each.rule} & set(names)]


def _show(results: Sequence[Result]) -> None:
    table = Table("mutant", "verdict", "caught by")
    for result in results:
        tests = "\n".join(test.rpartition("::")[2] for test in result.mutant.tests)
        table.add_row(result.mutant.name, result.verdict.value, tests)
    console.print(table)
    for result in results:
        if result.detail:
            console.print(f"{result.mutant.name}: {result.detail}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
