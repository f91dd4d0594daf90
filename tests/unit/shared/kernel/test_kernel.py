"""Ids, money, errors and events: the words everything else is written in."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar
from uuid import UUID

import pytest

from shared.kernel.errors import DomainError, Invalid, NotFound, Unauthorized, Unavailable
from shared.kernel.events import Aggregate, DomainEvent
from shared.kernel.ids import TenantId, new_id
from shared.kernel.money import CurrencyMismatch, Money

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def test_ids_are_version_7_and_sorted_by_the_time_they_were_made() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert {(made.version, made.variant) for made in ids} == {(7, "specified in RFC 4122")}


def test_an_id_tells_its_millisecond() -> None:
    before = datetime.now(UTC).timestamp()
    told = (new_id().int >> 80) / 1000
    assert before - 0.002 <= told <= datetime.now(UTC).timestamp() + 0.002


def test_money_adds_within_one_currency() -> None:
    assert Money(25_000, "IDR") + Money(5_000, "IDR") == Money(30_000, "IDR")
    assert Money(25_000, "IDR") * 3 == Money(75_000, "IDR")
    with pytest.raises(CurrencyMismatch):
        Money(1, "IDR") + Money(1, "USD")


def test_an_errors_sentence_is_its_docstring_unless_said_otherwise() -> None:
    assert str(NotFound()) == "It does not exist."
    assert NotFound("No such order", order="KB-1").data == {"order": "KB-1"}
    assert issubclass(Unauthorized, Invalid)
    assert Unavailable().retry_after is None


def test_every_error_has_a_code_of_its_own() -> None:
    kinds = [DomainError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    ours = [kind for kind in kinds if kind.__module__ == "shared.kernel.errors"]
    assert len({kind.code for kind in ours}) == len(ours)


@dataclass(frozen=True, kw_only=True, slots=True)
class CupFilled(DomainEvent):
    name: ClassVar[str] = "cup.filled"
    cup_id: UUID
    at: datetime


@dataclass(eq=False, kw_only=True)
class Cup(Aggregate):
    tenant_id: TenantId

    def fill(self) -> None:
        self._record(
            CupFilled(tenant_id=self.tenant_id, occurred_at=NOON, cup_id=UUID(int=5), at=NOON)
        )


def test_only_verbs_record_events_and_pulling_empties_them() -> None:
    cup = Cup(tenant_id=TenantId(UUID(int=1)))
    assert cup.pull_events() == []
    cup.fill()
    [event] = cup.pull_events()
    assert event.body() == {"cup_id": str(UUID(int=5)), "at": "2026-01-02T12:00:00+00:00"}
    assert cup.pull_events() == []
