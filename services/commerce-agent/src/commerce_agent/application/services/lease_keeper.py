"""Holding a conversation while the model thinks: renewed in the background, given back at the end.

Fencing makes a lost lease harmless; noticing it early only saves the model's time.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import structlog

from commerce_agent.application.ports.shop_agent import Fenced
from commerce_agent.application.unit_of_work import UnitOfWorkFactory
from commerce_agent.domain.repositories.conversation_repository import Lease
from shared.kernel.errors import Unavailable
from shared.kernel.ids import TenantId

log = structlog.get_logger()

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


class OutOfTime(Exception):
    """The turn's deadline has passed."""


@dataclass(slots=True)
class HeldLease:
    """A lease that is being renewed, and the clock of the turn that runs under it."""

    lease: Lease
    ends: float
    """On the event loop's clock."""
    is_lost: bool = False
    given_back: bool = False
    """A transaction of the turn has given it back."""
    _scope: asyncio.Timeout | None = field(default=None, repr=False)

    @property
    def left(self) -> timedelta:
        """Time until the turn's deadline."""
        return timedelta(seconds=max(0.0, self.ends - asyncio.get_running_loop().time()))

    async def run(self, work: Awaitable[T]) -> T:
        """Wait for the model, no longer than the turn and the lease last.

        Raises:
            OutOfTime: the turn's deadline has passed.
            Fenced: another worker has taken the conversation.
        """
        scope = asyncio.timeout_at(self.ends)
        try:
            async with scope:
                self._scope = scope
                return await work
        except TimeoutError:
            if self.is_lost:
                raise Fenced from None
            if scope.expired():
                raise OutOfTime from None
            raise
        finally:
            self._scope = None

    def lose(self) -> None:
        """Stop what runs under the lease, or would run next."""
        self.is_lost = True
        self.ends = asyncio.get_running_loop().time()
        if self._scope is not None:
            self._scope.reschedule(self.ends)


@asynccontextmanager
async def hold(
    uow: UnitOfWorkFactory,
    tenant_id: TenantId,
    lease: Lease,
    *,
    for_: timedelta,
    deadline: timedelta,
    sleep: Sleep = asyncio.sleep,
) -> AsyncIterator[HeldLease]:
    """Renew the lease every third of ``for_`` while the block runs; give it back afterwards,
    unless the block did."""
    held = HeldLease(lease, asyncio.get_running_loop().time() + deadline.total_seconds())
    task = asyncio.create_task(_renew(uow, tenant_id, held, for_, sleep), name="lease")
    try:
        yield held
    finally:
        task.cancel()
        [ended] = await asyncio.gather(task, return_exceptions=True)
        if isinstance(ended, Exception):  # the lease ran out early, which fencing makes harmless
            log.error("lease_not_renewed", error=type(ended).__name__, tenant_id=str(tenant_id))
        if not held.given_back:
            with suppress(Unavailable):  # then it runs out by itself
                async with uow(tenant_id) as work:
                    await work.conversations.release_lease(lease)
                    await work.commit()


async def _renew(
    uow: UnitOfWorkFactory, tenant_id: TenantId, held: HeldLease, for_: timedelta, sleep: Sleep
) -> None:
    while True:
        await sleep(for_.total_seconds() / 3)
        with suppress(Unavailable):  # two more tries fit into the lease
            async with uow(tenant_id) as work:
                renewed = await work.conversations.renew_lease(held.lease, for_=for_)
                await work.commit()
            if not renewed:
                held.lose()
                return
