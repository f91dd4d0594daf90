"""The SQL on ``queue_messages`` that claims rows and gives them back, whoever carries the hints.

Leases and due times are set and judged by the database's clock. A lease that ran out was held by
somebody dead: whoever claims the row next finds one attempt more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Row, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kernel.ids import TenantId, new_id
from shared.messaging.fair_pick import CLOCK, DUE, NEXT_DUE, fair_pick
from shared.messaging.port import Claim, ClaimLost, GiveUp, Queue
from shared.persistence.database import Database, SystemRole, system_transaction
from shared.persistence.unit_of_work import Transaction

log = structlog.get_logger()

_LEASE = """
    UPDATE queue_messages q
    SET lease_id = :lease_id, lease_until = (SELECT now FROM clock) + :lease, published_at = NULL,
        attempts = attempts + CASE WHEN q.lease_id IS NULL THEN 0 ELSE 1 END
    FROM locked l WHERE q.id = l.id
    RETURNING q.*, l.turn, l.tenant_rank,
              EXISTS (SELECT FROM tenants t WHERE t.id = q.tenant_id) AS tenant_known
"""
_ANSWER = f"""
    SELECT c.*, (SELECT now FROM clock) - c.available_at AS waited,
           (SELECT now FROM clock) - c.created_at AS age,
           (SELECT count(*) FROM candidates) AS seen, {NEXT_DUE} AS next_due
    FROM (VALUES (1)) one LEFT JOIN claimed c ON true
    ORDER BY c.tenant_rank, c.turn
"""  # noqa: S608 - constants

_FEWER = """
    (CAST(:below AS integer) IS NULL
     OR q.attempts + CASE WHEN q.lease_id IS NULL THEN 0 ELSE 1 END < :below)
"""
"""Passes over what has failed too often for the company it would be in."""

CLAIM_DUE = text(f"{fair_pick(which=_FEWER)}, claimed AS ({_LEASE}) {_ANSWER}").columns(
    payload=JSONB
)

_HAS_TIME = f"""
    q.queue = :queue AND q.available_at <= (SELECT now FROM clock)
    AND (q.lease_id IS NULL OR q.lease_until <= (SELECT now FROM clock)) AND {_FEWER}
"""  # noqa: S608 - constants

CLAIM_NAMED = text(
    f"""
    WITH {CLOCK},
    candidates AS MATERIALIZED (
        SELECT q.id, named.turn, 1 AS tenant_rank
        FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS named (id, turn)
        JOIN queue_messages q ON q.id = named.id
        WHERE {_HAS_TIME} AND {DUE}
    ),
    locked AS MATERIALIZED (
        SELECT q.id, c.turn, c.tenant_rank FROM candidates c JOIN queue_messages q ON q.id = c.id
        WHERE {_HAS_TIME}
        FOR UPDATE OF q SKIP LOCKED
    ), claimed AS ({_LEASE}) {_ANSWER}
    """  # noqa: S608 - constants
).columns(payload=JSONB)
"""By hints. A row that a relay still keeps while its hint is on the way is free for the hint."""

_RENEW = text(
    """
    UPDATE queue_messages SET lease_until = platform_now() + :lease
    WHERE id IN (
        SELECT q.id FROM queue_messages q
        JOIN unnest(CAST(:ids AS uuid[]), CAST(:leases AS uuid[])) AS mine (id, lease_id)
          ON q.id = mine.id AND q.lease_id = mine.lease_id
        FOR UPDATE OF q SKIP LOCKED)
    """
)
_RELEASE = text(
    """
    UPDATE queue_messages
    SET lease_id = NULL, lease_until = NULL, attempts = 0, published_at = NULL,
        available_at = CASE WHEN generation = :generation AND :delay > interval '0'
                            THEN platform_now() + :delay ELSE available_at END
    WHERE id = :id AND lease_id = :lease_id
    """
)
_RETRY = text(
    """
    UPDATE queue_messages
    SET lease_id = NULL, lease_until = NULL, attempts = attempts + :counts, published_at = NULL,
        available_at = greatest(available_at, platform_now() + :delay)
    WHERE id = :id AND lease_id = :lease_id
    """
)
_BURY = text(
    """
    WITH gone AS (
        DELETE FROM queue_messages WHERE id = :id AND lease_id = :lease_id RETURNING *
    )
    INSERT INTO dead_letters (id, tenant_id, queue, kind, key, payload, v, priority,
                              ordering_key, position, attempts, code, detail)
    SELECT :letter, tenant_id, queue, kind, key, payload, v, priority,
           ordering_key, position, attempts, :code, :detail FROM gone
    """
)


@dataclass(frozen=True, slots=True)
class Picked:
    """What one look at the queue brought."""

    claims: Sequence[Claim]
    contended: bool
    """Due rows were seen that we did not get: another look may bring more."""
    next_due: timedelta | None
    """How long until the next row falls due; ``None``: nothing is planned."""


class QueueRows:
    """Claims on rows, each in a short transaction of its own."""

    def __init__(self, database: Database, lease: timedelta) -> None:
        self._database = database
        self._lease = lease
        self._served: dict[Queue, UUID] = {}

    async def claim_due(
        self, queue: Queue, limit: int, attempts_below: int | None = None
    ) -> Picked:
        """Lease the due rows whose turn it is; the lease is committed when this returns."""
        served = self._served.get(queue, UUID(int=0))
        return await self._claim(CLAIM_DUE, queue, limit=limit, served=served, below=attempts_below)

    async def claim_named(
        self, queue: Queue, ids: Sequence[UUID], attempts_below: int | None = None
    ) -> Picked:
        """Lease those of the named rows that are there, due and free. It is ``contended`` when one
        of them is, and somebody was writing to it."""
        return await self._claim(CLAIM_NAMED, queue, ids=list(ids), below=attempts_below)

    async def _claim(self, statement: Any, queue: Queue, **parameters: Any) -> Picked:
        lease = {"queue": queue.value, "lease_id": new_id(), "lease": self._lease}
        async with system_transaction(self._database, SystemRole.RELAY) as connection:
            rows = (await connection.execute(statement, lease | parameters)).all()
            leased = [row for row in rows if row.id is not None]
            for row in leased:
                if not row.tenant_known:
                    await _park(connection, row)
        if leased:
            self._served[queue] = leased[-1].tenant_id
        claims = [_claim(row) for row in leased if row.tenant_known]
        return Picked(claims, rows[0].seen > len(claims), rows[0].next_due)

    async def renew(self, claims: Sequence[Claim]) -> None:
        """Extend the leases. A row that is locked right now is being finished, or has its turn
        with the next renewal: waiting for several locks at once would invite deadlocks."""
        if claims:
            await self._write(
                _RENEW,
                ids=[claim.id for claim in claims],
                leases=[claim.lease_id for claim in claims],
                lease=self._lease,
            )

    async def release(self, claim: Claim, delay: timedelta) -> None:
        await self._write(_RELEASE, generation=claim.generation, delay=delay, **_mine(claim))
        self._database.waker.wake(claim.queue)

    async def retry(self, claim: Claim, delay: timedelta) -> None:
        await self._write(_RETRY, counts=1, delay=delay, **_mine(claim))
        self._database.waker.wake(claim.queue)

    async def set_aside(self, claim: Claim, delay: timedelta) -> None:
        await self._write(_RETRY, counts=0, delay=delay, **_mine(claim))
        self._database.waker.wake(claim.queue)

    async def dead_letter(
        self, claim: Claim, code: str, detail: str, give_up: GiveUp | None
    ) -> None:
        async with Transaction(self._database, claim.tenant_id) as tx:
            if not await _bury(tx.connection, code=code, detail=detail, **_mine(claim)):
                raise ClaimLost
            if give_up is not None:
                await give_up(tx, claim, code)
            tx.will_wake(claim.queue)  # what stood behind it in its order is free now
            await tx.commit()

    async def _write(self, statement: Any, **parameters: Any) -> None:
        async with system_transaction(self._database, SystemRole.RELAY) as connection:
            await connection.execute(statement, parameters)


async def _park(connection: AsyncConnection, row: Row[Any]) -> None:
    detail = "The tenant of this work no longer exists."
    await _bury(connection, id=row.id, lease_id=row.lease_id, code="tenant_gone", detail=detail)
    log.warning("task_parked", code="tenant_gone", tenant_id=str(row.tenant_id), kind=row.kind)


async def _bury(connection: AsyncConnection, **parameters: Any) -> bool:
    buried = await connection.execute(_BURY, parameters | {"letter": new_id()})
    return buried.rowcount == 1


def _mine(claim: Claim) -> dict[str, UUID]:
    return {"id": claim.id, "lease_id": claim.lease_id}


def _claim(row: Row[Any]) -> Claim:
    return Claim(
        id=row.id,
        tenant_id=TenantId(row.tenant_id),
        queue=Queue(row.queue),
        kind=row.kind,
        key=row.key,
        payload=row.payload,
        generation=row.generation,
        attempts=row.attempts,
        lease_id=row.lease_id,
        v=row.v,
        ordering_key=row.ordering_key,
        waited=row.waited,
        age=row.age,
    )
