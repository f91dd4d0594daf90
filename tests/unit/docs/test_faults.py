"""What docs/faults.md says is tested, is."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
FAULTS = (REPOSITORY / "docs/faults.md").read_text()
ROWS = {*range(1, 28), *range(30, 35), 37, 39, 40, 44, 45}
NAMED = re.compile(r"`(?P<file>[\w/]+\.py|…)::(?P<test>\w+)(?P<more>…?)`(?: \((?P<count>\w+)\))?")
COUNTS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}


def named_tests() -> list[re.Match[str]]:
    return list(NAMED.finditer(FAULTS))


def written_in(file: str) -> list[str]:
    path = REPOSITORY / file if "/" in file else REPOSITORY / "tests/fault" / file
    return re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE)


def test_every_test_that_is_named_exists() -> None:
    file, missing = "", []
    for named in named_tests():
        file = file if named["file"] == "…" else named["file"]
        found = [
            test
            for test in written_in(file)
            if test == named["test"] or (named["more"] and test.startswith(named["test"]))
        ]
        if not found or (named["count"] in COUNTS and len(found) != COUNTS[named["count"]]):
            missing.append(named[0])
    assert named_tests()
    assert missing == []


def test_no_reference_is_written_in_a_way_that_is_not_looked_at() -> None:
    assert FAULTS.count("::") - FAULTS.count("`file::test`") == len(named_tests())


def test_every_row_has_its_line() -> None:
    lines = re.findall(r"^\| (\d+) \| .+`.+::test_\w+…?`", FAULTS, re.MULTILINE)
    assert {int(number) for number in lines} == ROWS
