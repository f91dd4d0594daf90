"""The cache that the settings ask for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.cache.memory import MemoryCache
from shared.cache.port import Cache
from shared.cache.redis import RedisCache
from shared.config.settings import CacheSettings


@asynccontextmanager
async def open_cache(settings: CacheSettings) -> AsyncIterator[Cache]:
    """Redis when REDIS_URL is set, else the memory of this process. Never fails to open."""
    if settings.redis_url is None:
        yield MemoryCache()
        return
    cache = RedisCache(settings.redis_url.get_secret_value())
    try:
        yield cache
    finally:
        await cache.aclose()
