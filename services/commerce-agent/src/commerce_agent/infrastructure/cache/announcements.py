"""Announcements over the cache's topics."""

from typing import Final

import orjson

from shared.cache.port import Cache
from shared.kernel.ids import ConversationId, TenantId

_CHANGED: Final = orjson.dumps({"type": "changed"})


class CacheAnnouncements:
    """Keeps the promises of `Announcements`."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def conversation_changed(
        self, tenant_id: TenantId, conversation_id: ConversationId
    ) -> None:
        await self._cache.publish(f"conversation:{tenant_id}:{conversation_id}", _CHANGED)
