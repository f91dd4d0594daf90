"""The work queue as its users see it: what is put in, what a worker holds, what adapters promise.

A row of ``queue_messages`` is the work; a broker's message is only a hint that it exists. The row
lives until the transaction that did the work deletes it (``Transaction.finish``).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from shared.kernel.ids import TenantId

if TYPE_CHECKING:
    from shared.persistence.unit_of_work import Transaction


class Queue(StrEnum):
    """The three queues; what a broker calls them is a setting of its adapter."""

    AI_TASKS = "ai_tasks"
    CRM_TASKS = "crm_tasks"
    WA_MESSAGES = "wa_messages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Work to enqueue in a unit of work.

    The same (tenant, queue, kind, key) again is the same row: its generation rises, its payload and
    due time are replaced, and a worker that is just doing it will find it there afterwards.
    """

    queue: Queue
    kind: str
    key: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    delay: timedelta = timedelta(0)
    available_at: datetime | None = None
    """Due time by the database's clock; wins over ``delay``."""
    priority: int = 0
    """Higher goes first within a tenant."""
    ordering_key: str | None = None
    """Of the rows with one ordering key only the one with the lowest ``position`` is claimable."""
    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A row that a worker has leased. ``generation`` is the one it saw."""

    id: UUID
    tenant_id: TenantId
    queue: Queue
    kind: str
    key: str
    payload: Mapping[str, Any]
    generation: int
    attempts: int
    """Earlier claims of this row that ended in an error or with a dead holder."""
    lease_id: UUID
    v: int = 1
    ordering_key: str | None = None
    waited: timedelta = timedelta(0)
    """How long the row was due when it was claimed."""
    age: timedelta = timedelta(0)
    """How long the row existed when it was claimed."""


class Finish(StrEnum):
    """What became of the row when its holder finished."""

    DELETED = "deleted"
    RELEASED = "released"
    """Work was added meanwhile; the row stays, due as that work said."""
    LOST = "lost"
    """Somebody else finished it, or holds it: what depends on doing it once must roll back."""


class ClaimLost(Exception):
    """The row is gone or another's: roll back, there is nothing left to do."""


class Postpone(Exception):
    """Not now: the row goes back unharmed and is due again after ``delay``; no attempt counts.

    A handler raises it when what it needs is taken or closed for a while. A give-up step raises it
    when the row must not become a dead letter yet.
    """

    def __init__(self, delay: timedelta) -> None:
        super().__init__(f"due again in {delay}")
        self.delay = delay


Handle = Callable[[Claim], Awaitable[None]]
"""Does the work and finishes the claim in its own transaction before it returns."""

GiveUp = Callable[["Transaction", Claim, str], Awaitable[None]]
"""What follows when a row is given up, in the transaction that makes it a dead letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How one kind of work is handled."""

    handle: Handle
    give_up: GiveUp | None = None
    versions: frozenset[int] = frozenset({1})
    """Message versions this code understands; others are parked, not dropped."""
    deadline: timedelta = timedelta(minutes=5)
    """Longest time one handling may take; then it is cancelled, which counts as an error."""


class TaskQueue(Protocol):
    """The consuming side of a queue; both adapters pass one contract suite."""

    async def claim(
        self, queue: Queue, limit: int, *, wait: timedelta, attempts_below: int | None = None
    ) -> Sequence[Claim]:
        """Lease up to ``limit`` due rows, fair by tenant, then priority, then age.

        Waits up to ``wait`` for the first. The lease is committed when this returns. Rows whose
        claim would have ``attempts_below`` attempts or more are passed over.
        """
        ...

    async def renew(self, claims: Sequence[Claim]) -> None:
        """Extend the leases; those lost meanwhile stay lost."""
        ...

    async def release(self, claim: Claim, *, delay: timedelta = timedelta(0)) -> None:
        """Give a row back unharmed, due after ``delay``: attempts begin anew.

        When work was added to the row meanwhile, it is due as that work said.
        """
        ...

    async def retry(self, claim: Claim, *, delay: timedelta) -> None:
        """Give a row back after an error, not due before ``delay``: its attempts rise by one."""
        ...

    async def set_aside(self, claim: Claim, *, delay: timedelta) -> None:
        """Give a row back as it was found, not due before ``delay``: its attempts stay counted."""
        ...

    async def dead_letter(
        self, claim: Claim, *, code: str, detail: str, give_up: GiveUp | None
    ) -> None:
        """Move the row to ``dead_letters``, with what follows, in one transaction of its tenant.

        Raises:
            ClaimLost: the row is no longer ours; nothing happened.
        """
        ...


class Waker(Protocol):
    """Tells sleeping workers that work was committed. Losing a wake-up costs a poll, no more."""

    def wake(self, queue: Queue) -> None: ...
