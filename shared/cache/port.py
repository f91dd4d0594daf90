"""The cache as its users see it: a place to remember what can be forgotten.

Nothing here is ever the only copy of anything. When the server is away, reads find nothing, writes
and messages vanish, and no method raises: the platform becomes slower, never wrong.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Protocol


class Cache(Protocol):
    """Keys with a time to live, and topics that tell whoever listens just now."""

    async def get(self, key: str) -> bytes | None: ...

    async def set(self, key: str, value: bytes, ttl: timedelta) -> None: ...

    async def delete(self, key: str) -> None: ...

    async def entries(self, prefix: str) -> Mapping[str, bytes]:
        """Every key that begins so, with its value. For pages that people look at: a server reads
        all its keys for it."""
        ...

    async def publish(self, topic: str, message: bytes) -> None:
        """Tell the present subscribers; the message is lost on everybody else."""
        ...

    def subscribe(self, *topics: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Messages of these topics from now on. After a lost connection some may be missing."""
        ...

    async def healthy(self) -> bool:
        """Whether the server answers at the moment."""
        ...
