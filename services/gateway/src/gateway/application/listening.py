"""Hearing what the cache's topics tell while one waits for something else as well."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from shared.cache.port import Cache
from shared.messaging.ending import end

_BACKLOG = 1000


class Heard:
    """The messages of a topic, in a queue: waiting with a time limit breaks no subscription."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_BACKLOG)
        self.missed = False
        """Messages came quicker than they were taken, and some are lost."""

    def put(self, message: bytes) -> None:
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self.missed = True

    async def get(self) -> bytes:
        return await self._queue.get()

    async def next(self, within: timedelta) -> bytes | None:
        """The next message; ``None`` after so much silence."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                return await self._queue.get()
        except TimeoutError:
            return None


@asynccontextmanager
async def listening(cache: Cache, topic: str) -> AsyncIterator[Heard]:
    """What the topic tells from now on. At the end nothing of it is left."""
    heard = Heard()

    async def take(messages: AsyncIterator[bytes]) -> None:
        async for message in messages:
            heard.put(message)

    async with cache.subscribe(topic) as messages:
        taking = asyncio.create_task(take(messages), name=f"listening to {topic.partition(':')[0]}")
        try:
            yield heard
        finally:
            await end([taking])
