"""What repositories share: remembering what they handed out, and writing only what changed."""

from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeAlias, TypeVar
from uuid import UUID

from sqlalchemy import Table, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.domain.services.optimistic_lock import ChangedMeanwhile
from shared.kernel.events import DomainEvent
from shared.kernel.ids import TenantId

Row: TypeAlias = dict[str, Any]
"""An aggregate's own columns, without tenant, id and version."""


class Versioned(Protocol):
    """An aggregate with a row of its own."""

    version: int

    @property
    def id(self) -> UUID: ...

    def pull_events(self) -> list[DomainEvent]: ...


A = TypeVar("A", bound=Versioned)


class Kept(Generic[A]):
    """The aggregates of one unit of work, each with the row it was made from.

    One row is one object: asked twice, a repository hands out the same aggregate.
    """

    def __init__(self, to_row: Callable[[A], Row]) -> None:
        self._to_row = to_row
        self._aggregates: dict[UUID, A] = {}
        self._rows: dict[UUID, Row | None] = {}

    def find(self, aggregate_id: UUID) -> A | None:
        return self._aggregates.get(aggregate_id)

    def load(self, aggregate: A) -> A:
        """Remember what was read; the one handed out before wins."""
        known = self._aggregates.setdefault(aggregate.id, aggregate)
        self._rows.setdefault(aggregate.id, self._to_row(known))
        return known

    def add(self, aggregate: A) -> None:
        """Remember what has no row yet."""
        self._aggregates[aggregate.id] = aggregate
        self._rows[aggregate.id] = None

    def new(self) -> list[A]:
        """Those without a row, in id order: writers that meet take their locks alike."""
        return [a for a in self._sorted() if self._rows[a.id] is None]

    def changed(self) -> Iterator[tuple[A, Row, Row]]:
        """Those whose row differs, in id order: aggregate, columns that differ, row as read."""
        for aggregate in self._sorted():
            before = self._rows[aggregate.id]
            if before is None:
                continue
            after = self._to_row(aggregate)
            changes = {name: value for name, value in after.items() if value != before[name]}
            if changes:
                yield aggregate, changes, before

    def settle(self) -> list[DomainEvent]:
        """Take the present state for written, and hand over the events that led to it."""
        events: list[DomainEvent] = []
        for aggregate in self._sorted():
            self._rows[aggregate.id] = self._to_row(aggregate)
            events.extend(aggregate.pull_events())
        return events

    def _sorted(self) -> list[A]:
        return [self._aggregates[key] for key in sorted(self._aggregates)]


async def write_changes(
    connection: AsyncConnection,
    table: Table,
    *,
    tenant_id: TenantId,
    aggregate: Versioned,
    changes: Row,
) -> None:
    """Write the columns that differ, if the row is still the version that was read.

    Only those columns: what other statements keep in the same row is not undone.

    Raises:
        ChangedMeanwhile: somebody else wrote it, or it is gone.
    """
    own = table.c.id == aggregate.id
    if "tenant_id" in table.c:
        own &= table.c.tenant_id == tenant_id
    written = await connection.execute(
        update(table)
        .where(own, table.c.version == aggregate.version)
        .values(**changes, version=aggregate.version + 1)
    )
    if written.rowcount != 1:
        raise ChangedMeanwhile
    aggregate.version += 1


def violated(error: IntegrityError) -> str | None:
    """The name of the constraint that refused a statement."""
    cause: BaseException | None = error.orig
    while cause is not None:
        name = getattr(cause, "constraint_name", None)
        if name:
            return str(name)
        cause = cause.__cause__
    return None
