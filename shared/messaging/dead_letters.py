"""Work that was given up: listed for people, put back by them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kernel.errors import Conflict, NotFound
from shared.kernel.ids import TenantId, new_id
from shared.messaging.port import Queue
from shared.persistence.database import Database, SystemRole, system_transaction
from shared.persistence.metadata import NOW
from shared.persistence.tables import dead_letters
from shared.persistence.unit_of_work import Transaction


class DeadLetterNotFound(NotFound):
    """There is no such dead letter."""

    code = "dead_letter_not_found"


class AlreadyRedriven(Conflict):
    """This dead letter is back in its queue already."""

    code = "dead_letter_already_redriven"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A row of the queue that was given up, and why."""

    id: UUID
    tenant_id: TenantId
    queue: Queue
    kind: str
    key: str
    payload: Mapping[str, Any]
    attempts: int
    """Tries that had failed before the one that gave it up."""
    code: str
    detail: str
    created_at: datetime
    redriven_at: datetime | None


async def list_dead_letters(
    database: Database,
    *,
    tenant_id: TenantId | None = None,
    queue: Queue | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> Sequence[DeadLetter]:
    """The newest first, those still dead and those put back; ``before`` is the last id seen.

    Without a tenant all tenants' are listed, as the operator sees them.
    """
    wanted = _newest(queue, before, limit)
    if tenant_id is None:
        async with system_transaction(database, SystemRole.OPERATOR) as connection:
            return await _letters(connection, wanted)
    async with Transaction(database, tenant_id) as tx:
        return await _letters(tx.connection, wanted.where(dead_letters.c.tenant_id == tenant_id))


async def find_dead_letter(database: Database, dead_letter: UUID) -> DeadLetter:
    """One of any tenant's, as the operator sees it. Raises `DeadLetterNotFound`."""
    wanted = select(dead_letters).where(dead_letters.c.id == dead_letter)
    async with system_transaction(database, SystemRole.OPERATOR) as connection:
        found = await _letters(connection, wanted)
    if not found:
        raise DeadLetterNotFound
    return found[0]


async def redrive(database: Database, tenant_id: TenantId, dead_letter: UUID) -> None:
    """Put the work back, due now, with no attempts counted.

    Work of the same kind and key that has come since stays as it is and is made due.

    Raises:
        DeadLetterNotFound: not this tenant's, or none.
        AlreadyRedriven: it was put back before.
    """
    async with Transaction(database, tenant_id) as tx:
        letter = await _mark_redriven(tx.connection, tenant_id, dead_letter)
        await tx.connection.execute(
            _PUT_BACK, {"id": new_id(), "letter": dead_letter, "tenant_id": tenant_id}
        )
        tx.will_wake(Queue(letter.queue))
        await tx.commit()


_PUT_BACK = text(
    """
    INSERT INTO queue_messages AS q
        (id, tenant_id, queue, kind, key, payload, v, priority, ordering_key, position)
    SELECT :id, tenant_id, queue, kind, key, payload, v, priority, ordering_key, position
    FROM dead_letters WHERE tenant_id = :tenant_id AND id = :letter
    ON CONFLICT (tenant_id, queue, kind, key) DO UPDATE
    SET generation = q.generation + 1, attempts = 0, available_at = platform_now(),
        published_at = NULL, lease_until = CASE WHEN q.lease_id IS NOT NULL THEN q.lease_until END
    """
)


def _newest(queue: Queue | None, before: UUID | None, limit: int) -> Select[Any]:
    wanted = select(dead_letters).order_by(dead_letters.c.id.desc()).limit(limit)
    if queue is not None:
        wanted = wanted.where(dead_letters.c.queue == queue.value)
    if before is not None:
        wanted = wanted.where(dead_letters.c.id < before)
    return wanted


async def _letters(connection: AsyncConnection, wanted: Select[Any]) -> Sequence[DeadLetter]:
    return [_letter(row) for row in await connection.execute(wanted)]


async def _mark_redriven(
    connection: AsyncConnection, tenant_id: TenantId, dead_letter: UUID
) -> Row[Any]:
    mine = (dead_letters.c.tenant_id == tenant_id) & (dead_letters.c.id == dead_letter)
    marked: Row[Any] | None = (
        await connection.execute(
            update(dead_letters)
            .where(mine & dead_letters.c.redriven_at.is_(None))
            .values(redriven_at=NOW)
            .returning(dead_letters.c.queue)
        )
    ).one_or_none()
    if marked is not None:
        return marked
    if (await connection.execute(select(dead_letters.c.id).where(mine))).one_or_none() is None:
        raise DeadLetterNotFound
    raise AlreadyRedriven


def _letter(row: Row[Any]) -> DeadLetter:
    return DeadLetter(
        id=row.id,
        tenant_id=TenantId(row.tenant_id),
        queue=Queue(row.queue),
        kind=row.kind,
        key=row.key,
        payload=row.payload,
        attempts=row.attempts,
        code=row.code,
        detail=row.detail,
        created_at=row.created_at,
        redriven_at=row.redriven_at,
    )
