"""Whether the platform can work right now."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from shared.cache.port import Cache
from shared.kernel.errors import Unavailable

Check = Literal["ok", "degraded", "missing"]


@dataclass(frozen=True, slots=True)
class ReadinessService:
    ask_database: Callable[[], Awaitable[None]]
    """Raises Unavailable when the database is away."""
    cache: Cache
    services: Sequence[str]
    is_alive: Callable[[str], bool]
    """Whether a service's heart has beaten lately."""

    async def checks(self) -> dict[str, Check]:
        """One word for each thing we depend on; only ``missing`` keeps us from being ready."""
        database, cache = await asyncio.gather(self._database(), self.cache.healthy())
        found: dict[str, Check] = {"database": database, "cache": "ok" if cache else "degraded"}
        for service in self.services:
            found[service] = "ok" if self.is_alive(service) else "missing"
        return found

    async def _database(self) -> Check:
        try:
            async with asyncio.timeout(2):
                await self.ask_database()
        except (Unavailable, TimeoutError):
            return "missing"
        return "ok"
