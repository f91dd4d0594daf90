"""What a tenant may spend on models in a day, and what it has spent."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from shared.kernel.errors import Invalid, TooMany

_MOST = 2**63 - 1
_MOST_CONCURRENT = 10_000


class InvalidLLMBudget(Invalid, ValueError):
    """A limit is out of range."""

    code = "invalid_llm_budget"


class LLMBudgetSpent(TooMany):
    """The day's budget for models is spent."""

    code = "llm_budget_spent"


class OverBudget(StrEnum):
    """What becomes of a job when the day's budget is spent; the value is what REST says."""

    REFUSE = "refuse"
    QUEUE = "queue"
    """It waits until the day turns, or its deadline passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMBudget:
    """A tenant's limits; ``None`` is none. Raises `InvalidLLMBudget`."""

    tokens_per_day: int | None = None
    cost_nanos_per_day: int | None = None
    """Billionths of a US dollar."""
    concurrency: int | None = None
    """Jobs that may run at the same time."""
    over_budget: OverBudget = OverBudget.REFUSE

    def __post_init__(self) -> None:
        _check("tokens_per_day", self.tokens_per_day, 0, _MOST)
        _check("cost_per_day", self.cost_nanos_per_day, 0, _MOST)
        _check("concurrency", self.concurrency, 1, _MOST_CONCURRENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMUsage:
    """What a tenant has used on one day of its own time zone."""

    day: date
    tokens: int
    cost_nanos: int
    calls: int
    ends_at: datetime
    """When the day turns."""


def _check(field: str, value: int | None, least: int, most: int) -> None:
    if value is not None and not least <= value <= most:
        raise InvalidLLMBudget(f"{field} lies in {least} to {most}", field=field)
