"""The cache on Redis or Valkey. A server that is away is a cache that knows nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic
from typing import TypeVar

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

T = TypeVar("T")

log = structlog.get_logger()

_TIMEOUT = 0.5
"""Seconds for one command. A cache slower than this is worth less than no cache."""
_REST = 1.0
"""Seconds during which a server that failed is not asked again."""
_RECONNECT = 0.5
_FAILURES = (RedisError, OSError, asyncio.TimeoutError)


class RedisCache:
    """``prefix`` keeps installations, and test runs, on one server apart."""

    def __init__(
        self, url: str, *, prefix: str = "aip:", now: Callable[[], float] = monotonic
    ) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=20,
            timeout=_TIMEOUT,
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
        )
        # subscriptions wait for minutes, so they have connections of their own without a timeout
        self._listening = Redis.from_url(url, socket_timeout=None, socket_connect_timeout=_TIMEOUT)
        self._redis = Redis(connection_pool=pool)
        self._prefix = prefix
        self._now = now
        self._away_until = 0.0
        self._is_away = False

    async def get(self, key: str) -> bytes | None:
        value = await self._ask(lambda: self._redis.get(self._prefix + key), None)
        return value if isinstance(value, bytes) else None

    async def set(self, key: str, value: bytes, ttl: timedelta) -> None:
        milliseconds = max(1, int(ttl.total_seconds() * 1000))
        await self._ask(lambda: self._redis.set(self._prefix + key, value, px=milliseconds), None)

    async def delete(self, key: str) -> None:
        await self._ask(lambda: self._redis.delete(self._prefix + key), None)

    async def entries(self, prefix: str) -> Mapping[str, bytes]:
        return await self._ask(lambda: self._entries(self._prefix + prefix), None) or {}

    async def _entries(self, prefix: str) -> dict[str, bytes]:
        pattern = "".join(f"[{char}]" if char in "*?[" else char for char in prefix) + "*"
        keys = [key async for key in self._redis.scan_iter(match=pattern, count=1000)]
        values = await self._redis.mget(keys) if keys else []
        return {
            key.decode().removeprefix(self._prefix): value
            for key, value in zip(keys, values, strict=True)
            if isinstance(value, bytes)
        }

    async def publish(self, topic: str, message: bytes) -> None:
        await self._ask(lambda: self._redis.publish(self._prefix + topic, message), None)

    async def healthy(self) -> bool:
        self._away_until = 0.0
        return await self._ask(lambda: self._redis.ping(), False) is not False

    @asynccontextmanager
    async def subscribe(self, *topics: str) -> AsyncIterator[AsyncIterator[bytes]]:
        names = [self._prefix + topic for topic in topics]
        listener = self._listening.pubsub(ignore_subscribe_messages=True)
        try:
            await self._try_subscribe(listener, names)
            yield self._messages(listener, names)
        finally:
            await listener.aclose()  # type: ignore[no-untyped-call] # redis-py types it not

    async def aclose(self) -> None:
        await self._redis.aclose(close_connection_pool=True)
        await self._listening.aclose()

    async def _messages(self, listener: PubSub, names: list[str]) -> AsyncIterator[bytes]:
        while True:
            try:
                # bounded, because a connection can die without a word
                message = await listener.get_message(timeout=5.0)
            except _FAILURES:
                await asyncio.sleep(_RECONNECT)
                await self._try_subscribe(listener, names)
                continue
            if message is not None:
                yield message["data"]

    async def _try_subscribe(self, listener: PubSub, names: list[str]) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                await listener.subscribe(*names)
        except _FAILURES as error:
            self._note_away(error)

    async def _ask(self, command: Callable[[], Awaitable[T]], otherwise: T | None) -> T | None:
        if self._now() < self._away_until:
            return otherwise
        try:
            answer = await command()
        except _FAILURES as error:
            self._note_away(error)
            return otherwise
        if self._is_away:
            self._is_away = False
            log.info("cache_back")
        return answer

    def _note_away(self, error: BaseException) -> None:
        self._away_until = self._now() + _REST
        if not self._is_away:
            self._is_away = True
            log.warning("cache_away", error=type(error).__name__)
