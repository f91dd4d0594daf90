"""The rules of the audit as text: their parameters, and that each is explained."""

import re
from datetime import timedelta
from pathlib import Path

from ai_platform.audit.audit import RULES
from ai_platform.audit.rules import Bounds, Rule, Violation
from shared.kernel.ids import new_id

ROOT = Path(__file__).parents[3]
SUPPORT = ("auditor", "audit_ledgers", "audit_texts")


def test_a_query_gets_only_the_parameters_that_it_names() -> None:
    rule = Rule(
        name="x",
        promise="x",
        query="SELECT 1::text WHERE a = :tenants AND :settled AND b < :late AND c = ANY(:tenants)",
    )
    values = {"tenants": ["t"], "settled": True, "late": timedelta(seconds=55), "since": None}
    assert rule.bind(values) == (
        "SELECT 1::text WHERE a = $1::uuid[] AND $2::boolean AND b < $3::interval"
        " AND c = ANY($1::uuid[])",
        [["t"], True, timedelta(seconds=55)],
    )


def test_the_bound_is_lease_sweep_and_work() -> None:
    assert Bounds().late == timedelta(seconds=30 + 10 + 15)


def test_a_violation_says_what_where_and_whose() -> None:
    tenant = new_id()
    violation = Violation(rule="x-y", tenant_id=tenant, ids=("send:1", "send:2"), detail="twice")
    assert str(violation) == f"x-y: twice [send:1, send:2] tenant {tenant}"


def test_every_rule_is_explained_and_every_explanation_has_its_rule() -> None:
    tables = [line for line in _read("docs/audit.md").splitlines() if line.startswith("| `")]
    explained = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", "".join(t.split("|")[1] for t in tables)))
    assert explained == {rule.name for rule in RULES} | _rules_of_the_tests_alone()


def test_every_rule_of_the_tests_alone_has_been_seen_to_fail() -> None:
    tested = _read("tests/integration/ai_platform/audit/test_auditor.py")
    assert {rule for rule in _rules_of_the_tests_alone() if f'"{rule}"' not in tested} == set()


def _rules_of_the_tests_alone() -> set[str]:
    support = "".join(_read(f"tests/support/{name}.py") for name in SUPPORT)
    return set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', support))


def _read(path: str) -> str:
    return (ROOT / path).read_text()
