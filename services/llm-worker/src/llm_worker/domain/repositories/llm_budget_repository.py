"""Where budgets are kept."""

from typing import Protocol

from llm_worker.domain.entities.llm_budget import LLMBudget, LLMUsage


class LLMBudgetRepository(Protocol):
    """The budget of one tenant. Days are those of its time zone, by the database's clock."""

    async def get(self) -> LLMBudget:
        """The limits; a tenant that never set any has none."""
        ...

    async def save(self, budget: LLMBudget) -> None:
        """Replace them all. Workers obey with the next job they take."""
        ...

    async def today(self) -> LLMUsage: ...

    async def check(self) -> None:
        """Make sure that another job may be accepted.

        Raises:
            LLMBudgetSpent: a day's limit is reached, and the tenant wants jobs refused then;
                ``retry_after`` is the time until the day turns.
        """
        ...
