"""The planted faults fit the code as it is; `make mutants` would take minutes to say so."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.mutant import DID_NOT_RAISE, Mutant
from tests.mutants.page import PAGE, page
from tests.mutants.planted import PLANTED
from tests.mutants.scratch import ROOT, Failure, Stale, plant

EVERY = pytest.mark.parametrize("mutant", PLANTED, ids=lambda mutant: mutant.name)


@EVERY
def test_its_text_is_in_its_file_once(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text().count(mutant.old) == 1
    assert mutant.new != mutant.old


@EVERY
def test_its_tests_are_there_with_the_assertion_that_catches_it(mutant: Mutant) -> None:
    texts = {}
    for test in mutant.tests:
        file, _, name = test.partition("::")
        texts[test] = (ROOT / file).read_text()
        assert re.search(rf"def {name.partition('[')[0]}\(", texts[test]), test
    if not mutant.says.startswith(DID_NOT_RAISE):
        plain = " ".join(" ".join(texts.values()).split())
        assert mutant.says in plain


def test_names_are_given_once() -> None:
    assert [name for name, n in Counter(mutant.name for mutant in PLANTED).items() if n > 1] == []


def test_the_page_is_written_from_the_list() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m tests.mutants --table"


@pytest.mark.parametrize("text", ["", "x = 1\nx = 1\n"], ids=["gone", "ambiguous"])
def test_what_is_not_there_exactly_once_is_stale(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.py").write_text(text)

    with pytest.raises(Stale):
        plant(_a_mutant(), tmp_path)

    assert (tmp_path / "m.py").read_text() == text


@pytest.mark.parametrize(
    ("raised", "lines", "caught"),
    [
        ("assert 1 == 2", "assert paid == due E assert 1 == 2", True),
        ("AssertionError: late", "assert paid == due E AssertionError: late", True),
        ("assert 1 == 2", "assert other == due E assert 1 == 2", False),
        ("ModuleNotFoundError: shop", "assert paid == due E ModuleNotFoundError", False),
        ("TimeoutError", "assert paid == due E TimeoutError", False),
    ],
)
def test_only_the_named_assertion_is_a_catch(raised: str, lines: str, caught: bool) -> None:
    assert Failure(raised, lines).is_assertion("assert paid == due") is caught


def _a_mutant() -> Mutant:
    return Mutant(name="m", breaks="", file="m.py", old="x = 1", new="x = 2", tests=(), says="")
