"""How full the queues are, for the operator: counts over all tenants, and nothing of anybody's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text

from shared.persistence.database import Database, SystemRole, system_transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """One kind of work in one queue."""

    queue: str
    kind: str
    waiting: int
    """Due, and in nobody's hands."""
    planned: int
    """Not due yet."""
    leased: int
    """In a worker's hands."""
    failing: int
    """Of all these, how many have ended in an error or with a dead worker."""
    oldest_due: timedelta | None
    """How long the work that waits longest has been due."""
    dead: int
    """Dead letters that nobody has put back."""


_STATUS = text(
    """
    WITH clock AS MATERIALIZED (SELECT platform_now() AS now), rows AS (
        SELECT q.queue, q.kind, q.attempts,
               coalesce(q.lease_until > clock.now, false) AS leased,
               q.available_at <= clock.now AS due, clock.now - q.available_at AS waited
        FROM queue_messages q, clock
    ), alive AS (
        SELECT queue, kind, count(*) FILTER (WHERE due AND NOT leased) AS waiting,
               count(*) FILTER (WHERE NOT due AND NOT leased) AS planned,
               count(*) FILTER (WHERE leased) AS leased,
               count(*) FILTER (WHERE attempts > 0) AS failing,
               max(waited) FILTER (WHERE due AND NOT leased) AS oldest_due
        FROM rows GROUP BY queue, kind
    ), dead AS (
        SELECT queue, kind, count(*) AS dead FROM dead_letters
        WHERE redriven_at IS NULL GROUP BY queue, kind
    )
    SELECT queue, kind, coalesce(waiting, 0) AS waiting, coalesce(planned, 0) AS planned,
           coalesce(leased, 0) AS leased, coalesce(failing, 0) AS failing, oldest_due,
           coalesce(dead, 0) AS dead
    FROM alive FULL JOIN dead USING (queue, kind) ORDER BY queue, kind
    """
)


async def queue_status(database: Database) -> Sequence[QueueStatus]:
    """Every kind that has work or dead letters."""
    async with system_transaction(database, SystemRole.OPERATOR) as connection:
        return [QueueStatus(**row._mapping) for row in await connection.execute(_STATUS)]
