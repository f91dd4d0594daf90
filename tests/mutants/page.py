"""docs/mutants.md: who catches whom."""

from collections.abc import Iterator

from tests.mutants.mutant import Mutant
from tests.mutants.planted import AREAS, PLANTED
from tests.mutants.scratch import ROOT

PAGE = ROOT / "docs" / "mutants.md"

_HEAD = """\
# Planted faults

Tests that never fail prove nothing. `make mutants` plants one fault at a time into a scratch copy
of the tree and runs the tests that have to notice. A mutant is caught only when the assertion that
it names fails: an error on import, a broken fixture or a timeout is no catch. Before anything is
planted, the same tests must pass in the copy. A mutant whose text is no longer in its file is stale
and fails the run, and a unit test says so at once.

Where two walls guard the same thing, a test stands before each of them alone: the tenant filter is
asked as the owner of the tables, whom row-level security lets pass; the policies are asked in plain
SQL; the unique indexes are asked by plain inserts.

Rules in the last column are those of the model, [models/README.md](models/README.md). The tables
are written by `python -m tests.mutants --table`, from the lists in `tests/mutants`.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_tables(), f"{len(PLANTED)} faults are planted.", ""])


def _tables() -> Iterator[str]:
    for area, mutants in AREAS:
        yield f"## {area}\n"
        yield "| mutant | what breaks | caught by | rule |"
        yield "|---|---|---|---|"
        yield from map(_row, mutants)
        yield ""


def _row(mutant: Mutant) -> str:
    tests = "<br>".join(
        f"`{file.rpartition('/')[2]}` {test.partition('[')[0]}"
        for file, _, test in (test.partition("::") for test in mutant.tests)
    )
    return f"| {mutant.name} | {mutant.breaks} | {tests} | {mutant.rule or ''} |"
