"""The cache of a single process, for tests and where no server is configured."""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic

_BACKLOG = 1000


class MemoryCache:
    """At most ``capacity`` keys; the ones unused for longest make room."""

    def __init__(self, *, capacity: int = 10_000, now: Callable[[], float] = monotonic) -> None:
        self._capacity = capacity
        self._now = now
        self._values: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._listeners: defaultdict[str, set[asyncio.Queue[bytes]]] = defaultdict(set)

    async def get(self, key: str) -> bytes | None:
        found = self._values.get(key)
        if found is None:
            return None
        value, expires = found
        if expires <= self._now():
            del self._values[key]
            return None
        self._values.move_to_end(key)
        return value

    async def set(self, key: str, value: bytes, ttl: timedelta) -> None:
        self._values[key] = (value, self._now() + ttl.total_seconds())
        self._values.move_to_end(key)
        while len(self._values) > self._capacity:
            self._values.popitem(last=False)

    async def delete(self, key: str) -> None:
        self._values.pop(key, None)

    async def entries(self, prefix: str) -> Mapping[str, bytes]:
        now = self._now()
        return {
            key: value
            for key, (value, expires) in self._values.items()
            if key.startswith(prefix) and expires > now
        }

    async def publish(self, topic: str, message: bytes) -> None:
        for queue in self._listeners.get(topic, ()):
            if queue.full():
                queue.get_nowait()  # a slow listener loses the oldest, as Redis would cut it off
            queue.put_nowait(message)

    @asynccontextmanager
    async def subscribe(self, *topics: str) -> AsyncIterator[AsyncIterator[bytes]]:
        queue: asyncio.Queue[bytes] = asyncio.Queue(_BACKLOG)
        for topic in topics:
            self._listeners[topic].add(queue)
        try:
            yield _drain(queue)
        finally:
            for topic in topics:
                self._listeners[topic].discard(queue)
                if not self._listeners[topic]:
                    del self._listeners[topic]

    async def healthy(self) -> bool:
        return True


async def _drain(queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
    while True:
        yield await queue.get()
