"""The model's rules, their runs, their tests and the page that ties them together are the same."""

import re
from pathlib import Path

from tests.fault.test_turn_model import BUGS, RULES

ROOT = Path(__file__).parents[3]
MODEL = (ROOT / "docs/models/turn.pml").read_text()
PAGE = (ROOT / "docs/models/README.md").read_text()
TESTS = (ROOT / "tests/fault/test_model_rules.py").read_text()

ROWS = {
    name: re.findall(r"test_\w+", tests)
    for name, tests in re.findall(r"^\| ([A-Z]+) \|.*\| ([^|]+) \|$", PAGE, re.MULTILINE)
}


def test_every_rule_of_the_model_is_on_the_page_and_has_a_run_that_needs_it() -> None:
    rules = set(re.findall(r"^#ifndef FIX_(\w+)", MODEL, re.MULTILINE))
    faults = {case.name for case in BUGS}

    assert len(rules) == 17
    assert set(ROWS) == rules | faults
    assert {case.name for case in RULES} == rules - {"REVOKE"}


def test_every_planted_fault_is_one_of_the_models() -> None:
    assert {case.name for case in BUGS} == set(re.findall(r"\bBUG_([A-Z]+)", MODEL))


def test_every_rule_has_tests_and_every_test_its_rule() -> None:
    written = set(re.findall(r"^(?:async )?def (test_\w+)", TESTS, re.MULTILINE))
    named = {test for tests in ROWS.values() for test in tests}

    assert named == written
    for name, tests in ROWS.items():
        assert tests, name
        assert all(test.startswith(f"test_{name.lower()}_") for test in tests), name
