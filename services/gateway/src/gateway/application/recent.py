"""A memory of a few seconds for what every request asks the database about."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class _Entry(Generic[V]):
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    value: V | None = None
    read_at: float = float("-inf")


class Recent(Generic[K, V]):
    """Answers from memory for ``ttl``, then reads again; what does not exist is remembered too.

    One read per key at a time, however many ask. At most ``capacity`` keys: who asks for invented
    ones pushes out the least used, not our memory.
    """

    def __init__(
        self,
        read: Callable[[K], Awaitable[V]],
        *,
        ttl: timedelta,
        capacity: int = 10_000,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._read = read
        self._ttl = ttl.total_seconds()
        self._capacity = capacity
        self._now = now
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()

    async def get(self, key: K) -> V:
        """What was read within the last ``ttl``."""
        return await self._not_older_than(self._ttl, key)

    def peek(self, key: K) -> V | None:
        """The same, where no reading is needed for it; else ``None``, as for what does not exist.

        It does not count as use: what only `peek` asks for is read again, and used, every ``ttl``.
        """
        entry = self._entries.get(key)
        fresh = entry is not None and self._now() - entry.read_at < self._ttl
        return entry.value if fresh and entry else None

    async def get_newer(self, key: K, than: timedelta) -> V:
        """What was read within ``than``: for one who has reason to believe it has changed."""
        return await self._not_older_than(than.total_seconds(), key)

    async def _not_older_than(self, seconds: float, key: K) -> V:
        entry = self._entry(key)
        if self._now() - entry.read_at >= seconds:
            async with entry.reading:
                if self._now() - entry.read_at >= seconds:
                    entry.value = await self._read(key)
                    entry.read_at = self._now()
        return entry.value  # type: ignore[return-value] # read at least once by now

    def _entry(self, key: K) -> _Entry[V]:
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry()
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
        else:
            self._entries.move_to_end(key)
        return entry
