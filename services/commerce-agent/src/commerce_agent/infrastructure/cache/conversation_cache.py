"""The prompt context of conversations in Redis, for CONVERSATION_TTL."""

from datetime import datetime, timedelta

import orjson

from commerce_agent.application.ports.prompt_cache import Remembered
from commerce_agent.application.ports.shop_agent import Said
from shared.cache.port import Cache
from shared.kernel.ids import ConversationId, TenantId

_FORM = 1
"""Of the stored value; another number is another key."""


class ConversationCache:
    """Keeps the promises of `PromptCache`."""

    def __init__(self, cache: Cache, ttl: timedelta) -> None:
        self._cache = cache
        self._ttl = ttl

    async def get(self, tenant_id: TenantId, conversation_id: ConversationId) -> Remembered | None:
        stored = await self._cache.get(_key(tenant_id, conversation_id))
        return None if stored is None else _read(stored)

    async def put(
        self, tenant_id: TenantId, conversation_id: ConversationId, remembered: Remembered
    ) -> None:
        value = {
            "stamp": remembered.stamp,
            "history": [[said.by, said.text, said.at.isoformat()] for said in remembered.history],
        }
        await self._cache.set(_key(tenant_id, conversation_id), orjson.dumps(value), self._ttl)


def _key(tenant_id: TenantId, conversation_id: ConversationId) -> str:
    return f"conversation-context:{_FORM}:{tenant_id}:{conversation_id}"


def _read(stored: bytes) -> Remembered | None:
    """What was stored, or nothing if it is not what we store: the database knows it all."""
    try:
        value = orjson.loads(stored)
        history = tuple(
            Said(by=by, text=text, at=datetime.fromisoformat(at))
            for by, text, at in value["history"]
        )
        return Remembered(str(value["stamp"]), history)
    except (ValueError, KeyError, TypeError):
        return None
