"""Domain events and the base of the aggregates that record them."""

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from shared.kernel.ids import TenantId


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainEvent:
    """Something that happened, in the past tense; ``name`` and ``version`` never change meaning."""

    name: ClassVar[str]
    version: ClassVar[int] = 1

    tenant_id: TenantId
    occurred_at: datetime

    def body(self) -> dict[str, Any]:
        """The event's own plain values, as JSON knows them."""
        common = {"tenant_id", "occurred_at"}
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name not in common}


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return value


@dataclass(eq=False, kw_only=True)
class Aggregate:
    """A thing with identity whose verbs keep promises and record events.

    Only verbs record; loading one from its row does not.
    """

    _events: list[DomainEvent] = field(default_factory=list, init=False, repr=False)

    def _record(self, event: DomainEvent) -> None:
        self._events.append(event)

    def pull_events(self) -> list[DomainEvent]:
        """Hand over what was recorded since the last call."""
        events, self._events = self._events, []
        return events
