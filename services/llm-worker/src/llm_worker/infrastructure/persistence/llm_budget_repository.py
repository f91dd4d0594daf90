"""Budgets in PostgreSQL."""

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_worker.domain.entities.llm_budget import (
    LLMBudget,
    LLMBudgetSpent,
    LLMUsage,
    OverBudget,
)
from llm_worker.infrastructure.persistence.tables import llm_budgets
from shared.kernel.ids import TenantId

_DAY = """
    CROSS JOIN LATERAL (SELECT platform_now() AT TIME ZONE t.timezone AS now) local
    CROSS JOIN LATERAL (
        SELECT (date_trunc('day', local.now) + interval '1 day') AT TIME ZONE t.timezone AS ends_at
    ) day
    LEFT JOIN llm_usage u ON u.tenant_id = t.id AND u.day = CAST(local.now AS date)
"""
_TODAY = text(
    f"""
    SELECT CAST(local.now AS date) AS day, day.ends_at, coalesce(u.tokens, 0) AS tokens,
           coalesce(u.cost_nanos, 0) AS cost_nanos, coalesce(u.calls, 0) AS calls
    FROM tenants t {_DAY} WHERE t.id = :tenant
    """  # noqa: S608 - constants
)
_SPENT = text(
    f"""
    SELECT day.ends_at - platform_now() AS wait
    FROM llm_budgets b JOIN tenants t ON t.id = b.tenant_id {_DAY}
    WHERE b.tenant_id = :tenant AND b.over_budget = 'refuse'
    AND (coalesce(u.tokens, 0) >= b.tokens_per_day
         OR coalesce(u.cost_nanos, 0) >= b.cost_nanos_per_day)
    """  # noqa: S608 - constants
)


class SqlLLMBudgetRepository:
    """Keeps the promises of `LLMBudgetRepository` inside one transaction."""

    def __init__(self, connection: AsyncConnection, tenant_id: TenantId) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def get(self) -> LLMBudget:
        mine = select(llm_budgets).where(llm_budgets.c.tenant_id == self._tenant_id)
        row = (await self._connection.execute(mine)).one_or_none()
        if row is None:
            return LLMBudget()
        return LLMBudget(
            tokens_per_day=row.tokens_per_day,
            cost_nanos_per_day=row.cost_nanos_per_day,
            concurrency=row.concurrency,
            over_budget=OverBudget(row.over_budget),
        )

    async def save(self, budget: LLMBudget) -> None:
        if budget == LLMBudget():  # without a row the workers need not look at what was used
            mine = llm_budgets.c.tenant_id == self._tenant_id
            await self._connection.execute(delete(llm_budgets).where(mine))
            return
        limits = {
            "tokens_per_day": budget.tokens_per_day,
            "cost_nanos_per_day": budget.cost_nanos_per_day,
            "concurrency": budget.concurrency,
            "over_budget": budget.over_budget.value,
        }
        await self._connection.execute(
            insert(llm_budgets)
            .values(tenant_id=self._tenant_id, **limits)
            .on_conflict_do_update(index_elements=["tenant_id"], set_=limits)
        )

    async def today(self) -> LLMUsage:
        row = (await self._connection.execute(_TODAY, {"tenant": self._tenant_id})).one()
        return LLMUsage(**row._mapping)

    async def check(self) -> None:
        spent = await self._connection.execute(_SPENT, {"tenant": self._tenant_id})
        row = spent.one_or_none()
        if row is not None:
            raise LLMBudgetSpent(retry_after=row.wait)
