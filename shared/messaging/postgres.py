"""The task queue that needs nothing but PostgreSQL."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from shared.messaging.port import Claim, GiveUp, Queue
from shared.messaging.rows import Picked, QueueRows
from shared.messaging.waker import PostgresWaker

CONTENTION = timedelta(milliseconds=20)
"""Longest wait before another look at rows that somebody else is writing to."""


class PostgresTaskQueue:
    """Claims due rows in batches; sleeps until the next is due, a wake-up, or the next poll."""

    def __init__(self, rows: QueueRows, waker: PostgresWaker, *, poll: timedelta) -> None:
        self._rows = rows
        self._waker = waker
        self._poll = poll

    async def claim(
        self, queue: Queue, limit: int, *, wait: timedelta, attempts_below: int | None = None
    ) -> Sequence[Claim]:
        loop = asyncio.get_running_loop()
        end = loop.time() + wait.total_seconds()
        woken = self._waker.subscribe(queue)
        while True:
            woken.clear()
            picked = await self._rows.claim_due(queue, limit, attempts_below)
            left = end - loop.time()
            if picked.claims or left <= 0:
                return picked.claims
            await sleep_until(woken, min(left, self._pause(picked)))

    def _pause(self, picked: Picked) -> float:
        if picked.contended:
            return random.uniform(0, CONTENTION.total_seconds())
        return min(self._poll, picked.next_due or self._poll).total_seconds()

    async def renew(self, claims: Sequence[Claim]) -> None:
        await self._rows.renew(claims)

    async def release(self, claim: Claim, *, delay: timedelta = timedelta(0)) -> None:
        await self._rows.release(claim, delay)

    async def retry(self, claim: Claim, *, delay: timedelta) -> None:
        await self._rows.retry(claim, delay)

    async def set_aside(self, claim: Claim, *, delay: timedelta) -> None:
        await self._rows.set_aside(claim, delay)

    async def dead_letter(
        self, claim: Claim, *, code: str, detail: str, give_up: GiveUp | None
    ) -> None:
        await self._rows.dead_letter(claim, code, detail, give_up)


async def sleep_until(woken: asyncio.Event, longest: float) -> None:
    """Sleep ``longest`` seconds, or less when woken."""
    # not wait_for: until Python 3.12 it forgets a cancellation that meets the event
    with suppress(TimeoutError):
        async with asyncio.timeout(longest):
            await woken.wait()
