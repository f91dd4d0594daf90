"""Scratch copies of the tree, and tests that run in them."""

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.mutants.mutant import DID_NOT_RAISE, Mutant

ROOT = Path(__file__).parents[2]
_COPIED = ("shared", "services", "cli", "tests", "pyproject.toml")
_PATIENCE = 300.0
"""Seconds for the tests of one mutant; running out of it is no catch."""
_PLUGINS = ("-p", "pytest_asyncio.plugin", "-p", "xdist.plugin", "-p", "tests.mutants.inside")
"""All that these tests need: others, which load themselves, would cost more than the tests."""
_ASSERTIONS = ("AssertionError", "assert ", f"Failed: {DID_NOT_RAISE}")


class Stale(Exception):
    """The mutant's text is no longer in its file, or more than once."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A test that failed: what was raised, and the lines of the report that say where and why."""

    raised: str
    lines: str

    def is_assertion(self, says: str) -> bool:
        """Whether that very assertion failed, rather than an import, a fixture or a timeout."""
        return self.raised.startswith(_ASSERTIONS) and _plain(says) in self.lines


@dataclass(frozen=True, slots=True)
class Run:
    """What pytest said."""

    passed: int
    failures: tuple[Failure, ...]
    trouble: str | None = None
    """Why there is no verdict: errors outside the tests' own code, or time ran out."""


def copy(source: Path, target: Path) -> Path:
    """Copy the tree, compiled files included: what has not changed is not compiled again."""
    target.mkdir()
    for name in _COPIED:
        if (source / name).is_dir():
            shutil.copytree(
                source / name, target / name, ignore=shutil.ignore_patterns(".venv", "*.egg-info")
            )
        else:
            shutil.copy2(source / name, target / name)
    return target


def plant(mutant: Mutant, tree: Path) -> None:
    """Change the line.

    Raises:
        Stale: it is not there exactly once.
    """
    path = tree / mutant.file
    text = path.read_text() if path.exists() else ""
    if text.count(mutant.old) != 1:
        raise Stale(f"{mutant.file} has its text {text.count(mutant.old)} times")
    path.write_text(text.replace(mutant.old, mutant.new))


async def run(tree: Path, tests: Sequence[str], *, database: str, workers: int = 1) -> Run:
    """Run these tests in the copy, with its packages before the installed ones."""
    report = tree / "junit.xml"
    spread = ("-n", str(workers), "--dist", "loadfile") if workers > 1 else ()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", *tests, "-q", "--tb=long", "-m", "", *spread,
        *_PLUGINS, f"--junitxml={report}",
        cwd=tree,
        env=_environment(tree, database),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        told, _ = await asyncio.wait_for(
            process.communicate(), _PATIENCE * (1 if workers == 1 else 10)
        )
    except TimeoutError:
        return Run(0, (), f"no verdict within {_PATIENCE:.0f} s")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if not report.exists():
        return Run(0, (), f"pytest ended with {process.returncode}: {told.decode()[-400:]}")
    return _read(report)


def _environment(tree: Path, database: str) -> dict[str, str]:
    sources = [*sorted(str(path) for path in tree.glob("services/*/src")), str(tree / "cli/src")]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([*sources, str(tree)]),
        "TEST_DATABASE_URL": database,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }


def _read(report: Path) -> Run:
    cases = list(ElementTree.parse(report).iter("testcase"))
    failures = tuple(
        Failure(failure.get("message", ""), _said(failure.text or ""))
        for case in cases
        for failure in case.iter("failure")
    )
    errors = [
        f"{error.get('message', '')}: {_said(error.text or '')[-300:]}"
        for case in cases
        for error in case.iter("error")
    ]
    skipped = sum(1 for case in cases if case.find("skipped") is not None)
    trouble = errors[0] if errors else "a test was skipped" if skipped else None
    if not cases:
        trouble = "no test ran"
    return Run(len(cases) - len(failures) - len(errors) - skipped, failures, trouble)


def _said(report: str) -> str:
    """The lines that failed and what came of them, without the rest of the functions' text."""
    return _plain(" ".join(re.findall(r"^[>E] +(.*)$", report, re.MULTILINE)))


def _plain(text: str) -> str:
    return " ".join(text.split())
