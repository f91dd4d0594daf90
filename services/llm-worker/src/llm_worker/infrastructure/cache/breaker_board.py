"""This process's circuit breakers, told to the cache and reset by its topic."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from llm_worker.infrastructure.llm.circuit_breaker import (
    CircuitBreakerRegistry,
    CircuitStatistics,
)
from shared.breakers import (
    EVERY,
    RESETS,
    BreakerPicture,
    WorkerPicture,
    answer_reset,
    read_request,
    show,
)
from shared.cache.port import Cache
from shared.messaging.ending import end

log = structlog.get_logger()


class BreakerBoard:
    """Shows how the breakers stand, every five seconds and after each reset. A cache that is away
    hears nothing, and nobody waits for it."""

    def __init__(self, cache: Cache, circuits: CircuitBreakerRegistry, service: str) -> None:
        self._cache = cache
        self._circuits = circuits
        self.worker = f"{service}@{socket.gethostname()}:{os.getpid()}"

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Show and listen while the block runs."""
        async with self._cache.subscribe(RESETS) as requests:
            tasks = [
                asyncio.create_task(self._show_regularly(), name="breaker board"),
                asyncio.create_task(self._reset_when_asked(requests), name="breaker resets"),
            ]
            try:
                yield
            finally:
                await end(tasks)

    async def show(self) -> None:
        """Show them now."""
        pictures = [_picture(each) for each in self._circuits.statistics()]
        await show(self._cache, WorkerPicture(self.worker, pictures))

    async def _show_regularly(self) -> None:
        while True:
            await self.show()
            await asyncio.sleep(EVERY.total_seconds())

    async def _reset_when_asked(self, requests: AsyncIterator[bytes]) -> None:
        async for message in requests:
            request = read_request(message)
            if request is None:
                continue
            reset = self._circuits.reset(request.name)
            log.info("circuits_reset", circuit=request.name, count=reset)
            await self.show()
            await answer_reset(self._cache, request, self.worker, reset)


def _picture(seen: CircuitStatistics) -> BreakerPicture:
    return BreakerPicture(
        name=seen.name,
        state=seen.state.value,
        calls=seen.calls,
        failures=seen.failures,
        refused=seen.refused,
        opened=seen.opened,
        cause=seen.cause,
        retry_in_seconds=None if seen.retry_in is None else round(seen.retry_in.total_seconds(), 1),
    )
