"""Every rule over a database, on one snapshot of it."""

from collections.abc import Collection, Mapping
from uuid import UUID

import asyncpg

from ai_platform.audit import inbox_and_queue, jobs, messages, sends, tenancy, turns
from ai_platform.audit.rules import Bounds, Rule, Violation

RULES: tuple[Rule, ...] = (
    *inbox_and_queue.RULES,
    *messages.RULES,
    *turns.RULES,
    *sends.RULES,
    *jobs.RULES,
    *tenancy.RULES,
)
_TENANTS = """
    SELECT id FROM tenants
    UNION SELECT tenant_id FROM queue_messages
    UNION SELECT tenant_id FROM inbox_events WHERE state = 'received'
    """
"""Also those that are gone: neither the inbox nor the queue has a foreign key."""


async def audit_database(
    connection: asyncpg.Connection,
    *,
    tenants: Collection[UUID] | None = None,
    settled: bool = False,
    bounds: Bounds | None = None,
) -> list[Violation]:
    """What breaks a promise, of these tenants or of all. The connection must see every tenant.

    ``settled`` says that everything ought to be done: then nothing may be left open either. All
    rules see one snapshot; in a transaction of the caller's they see what it sees.
    """
    if not connection.is_in_transaction():
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await audit_database(connection, tenants=tenants, settled=settled, bounds=bounds)
    # fresh tables have no statistics, and the planner would then join them row by row
    await connection.execute("SET LOCAL enable_nestloop = off")
    bounds = bounds or Bounds()
    if tenants is None:
        tenants = [row["id"] for row in await connection.fetch(_TENANTS)]
    values = {
        "tenants": list(tenants),
        "settled": settled,
        "late": bounds.late,
        "since": bounds.faults_until,
    }
    return [violation for rule in RULES for violation in await _broken(connection, rule, values)]


async def _broken(
    connection: asyncpg.Connection, rule: Rule, values: Mapping[str, object]
) -> list[Violation]:
    query, arguments = rule.bind(values)
    return [
        Violation(
            rule=rule.name,
            tenant_id=row["tenant_id"],
            ids=tuple(row["ids"]),
            detail=row["detail"],
        )
        for row in await connection.fetch(query, *arguments)
    ]
