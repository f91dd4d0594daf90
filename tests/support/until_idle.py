"""A queue whose worker does what is due and then ends."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from shared.messaging.port import Claim, Queue, TaskQueue


class UntilIdle:
    """A queue whose worker ends as soon as nothing is due any more."""

    def __init__(self, inner: TaskQueue, stop: asyncio.Event) -> None:
        self._inner, self._stop = inner, stop
        self.claimed = 0
        """How many; a claim that is done may be forgotten."""

    async def claim(
        self, queue: Queue, limit: int, *, wait: timedelta, attempts_below: int | None = None
    ) -> Sequence[Claim]:
        claims = await self._inner.claim(
            queue, limit, wait=timedelta(0), attempts_below=attempts_below
        )
        self.claimed += len(claims)
        if not claims:
            self._stop.set()
        return claims

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
