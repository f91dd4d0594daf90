"""Every hostile class has its row, and every test that a row names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/hostile-input.md").read_text()
ROWS = {
    int(number): cell
    for number, cell in re.findall(r"^\| (\d+) [^|]*\| (.+) \|$", PAGE, re.MULTILINE)
}
TESTED = {
    number: named
    for number, cell in ROWS.items()
    if (named := re.findall(r"`(test_\w+\.py)::(test_\w+)`", cell))
}


def _written() -> set[tuple[str, str]]:
    """Every test of a class: its name begins with the number."""
    return {
        (path.name, name)
        for path in (ROOT / "tests/fault").glob("test_hostile_*.py")
        for name in re.findall(
            r"^(?:async )?def (test_\d\d_\w+)", path.read_text(), flags=re.MULTILINE
        )
    }


def test_every_class_is_named_and_most_are_tested() -> None:
    assert sorted(ROWS) == list(range(1, 69))
    assert len(TESTED) >= 55


def test_a_class_without_tests_says_what_it_waits_for() -> None:
    for number in ROWS.keys() - TESTED.keys():
        assert ROWS[number].startswith("waits for "), number


def test_every_named_test_exists_and_every_test_is_named_in_its_own_row() -> None:
    named = {test for tests in TESTED.values() for test in tests}

    assert named == _written()
    for number, tests in TESTED.items():
        assert all(name.startswith(f"test_{number:02}_") for _, name in tests), number
