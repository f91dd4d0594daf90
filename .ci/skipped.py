"""Fail when a test was skipped that nobody allowed: ``skipped.py JUNIT_XML ALLOWED``."""

import sys
from pathlib import Path
from xml.etree import ElementTree


def skipped(report: Path) -> set[str]:
    """Names of skipped tests, as ``tests.e2e.test_browser.test_name``."""
    cases = ElementTree.parse(report).iter("testcase")  # noqa: S314 - pytest wrote it
    return {f"{c.get('classname')}.{c.get('name')}" for c in cases if c.find("skipped") is not None}


def allowed(path: Path) -> set[str]:
    """Names in the list; lines that start with # say why."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return {line for line in lines if line and not line.startswith("#")}


def main() -> int:
    report, permitted = Path(sys.argv[1]), Path(sys.argv[2])
    if not report.exists():
        sys.stderr.write("pytest wrote no report\n")
        return 1
    surplus = sorted(skipped(report) - allowed(permitted))
    for name in surplus:
        sys.stderr.write(f"skipped, and not in {permitted}: {name}\n")
    return 1 if surplus else 0


if __name__ == "__main__":
    sys.exit(main())
