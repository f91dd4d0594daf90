"""CI's rule: a skipped test that nobody allowed fails the run."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
REPORT = """<testsuites><testsuite>
  <testcase classname="tests.unit.test_a" name="test_runs"/>
  <testcase classname="tests.unit.test_a" name="test_skips[x]"><skipped message="no"/></testcase>
</testsuite></testsuites>"""


def _check(tmp_path: Path, *, report: str | None, allowed: str) -> tuple[int, str]:
    if report is not None:
        (tmp_path / "junit.xml").write_text(report)
    (tmp_path / "allowed.txt").write_text(allowed)
    told = subprocess.run(
        [sys.executable, ROOT / ".ci/skipped.py", tmp_path / "junit.xml", tmp_path / "allowed.txt"],
        capture_output=True,
        text=True,
        check=False,
    )
    return told.returncode, told.stderr


def test_a_skip_that_is_not_listed_fails(tmp_path: Path) -> None:
    code, told = _check(tmp_path, report=REPORT, allowed="# none\n")
    assert code == 1
    assert "tests.unit.test_a.test_skips[x]" in told
    assert "test_runs" not in told


def test_a_skip_that_is_listed_passes(tmp_path: Path) -> None:
    allowed = "# no such thing here\ntests.unit.test_a.test_skips[x]\n"
    assert _check(tmp_path, report=REPORT, allowed=allowed) == (0, "")


def test_a_run_without_a_report_fails(tmp_path: Path) -> None:
    assert _check(tmp_path, report=None, allowed="")[0] == 1


def test_the_list_is_short() -> None:
    lines = (ROOT / "tests/allowed_skips.txt").read_text().splitlines()
    assert len([line for line in lines if line and not line.startswith("#")]) <= 5
