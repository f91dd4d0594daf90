"""A gateway process seen through bare sockets.

answer = await wire.say(b"GET / HTTP/1.1\r\n…")
answer.statuses, answer.body, answer.closed
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.support.stack import Shop, Stack
from tests.support.waha_webhooks import sign

CPU_SECONDS = 1.0
_QUIET = 0.3
"""Seconds without a byte after which an open connection has nothing more to say."""
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


@dataclass(frozen=True)
class Said:
    """All that came back on one connection."""

    bytes: bytes
    closed: bool

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in _STATUS.findall(self.bytes)]

    @property
    def status(self) -> int:
        (status,) = self.statuses
        return status


@dataclass
class Wire:
    """A served gateway, and a shop behind it. No test may cost the process more than a second of
    CPU for each thing that is said to it."""

    stack: Stack
    shop: Shop
    said: int = field(default=0)

    @property
    def host(self) -> bytes:
        return f"127.0.0.1:{self.stack.port}".encode()

    async def say(self, *pieces: bytes, pause: float = 0.0, patience: float = 5.0) -> Said:
        """Send bytes as they are; read until the other side closes or falls silent."""
        self.said += 1
        before = self.stack.cpu_seconds("gateway")
        answer = await self._talk(pieces, pause, patience)
        spent = self.stack.cpu_seconds("gateway") - before
        assert spent < CPU_SECONDS, f"{pieces[0][:80]!r} cost {spent:.2f} s of CPU"
        assert not [status for status in answer.statuses if status >= 500], answer.bytes[:500]
        return answer

    async def _talk(self, pieces: Sequence[bytes], pause: float, patience: float) -> Said:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.stack.port)
        heard = asyncio.create_task(_hear(reader, patience))
        try:
            with suppress(ConnectionError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    if pause:
                        await asyncio.sleep(pause)
                    if heard.done():
                        break
            return await heard
        finally:
            heard.cancel()
            writer.close()

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *headers: str,
        length: bool = True,
    ) -> bytes:
        """A well-formed request with more headers."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host.decode()}", *headers]
        if length:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def webhook(self, body: bytes) -> bytes:
        """A signed delivery, as bytes on the wire."""
        return self.request(
            "POST", self.shop.webhook_url, body, f"X-Webhook-Hmac: {self.sign(body)}"
        )

    def sign(self, body: bytes) -> str:
        return sign(body, self.shop.hooks.secret)

    async def stored(self, body: bytes) -> int:
        found = await self.stack.database.fetchval(
            "SELECT count(*) FROM inbox_events WHERE tenant_id = $1 AND body = $2",
            self.shop.id,
            body,
        )
        assert isinstance(found, int)
        return found


async def _hear(reader: asyncio.StreamReader, patience: float) -> Said:
    heard = b""
    try:
        async with asyncio.timeout(patience):
            while True:
                quiet = _QUIET if heard else patience
                async with asyncio.timeout(quiet):
                    piece = await reader.read(65_536)
                if not piece:
                    return Said(heard, closed=True)
                heard += piece
    except TimeoutError:
        return Said(heard, closed=False)
    except ConnectionError:
        return Said(heard, closed=True)


@dataclass(frozen=True)
class Served:
    """A running stack with a shop to be attacked and one that must not notice."""

    stack: Stack
    hostile: Shop
    good: Shop

    @classmethod
    async def by(cls, stack: Stack) -> "Served":
        return cls(stack, await stack.a_shop("hostile"), await stack.a_shop("good"))

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[Wire]:
        """Meanwhile a good client's requests all succeed."""
        pid = self.stack.pid("gateway")
        ended = asyncio.Event()
        life = asyncio.create_task(_live(self.good, ended))
        try:
            yield Wire(self.stack, self.hostile)
        finally:
            ended.set()
            assert await life
        assert self.stack.pid("gateway") == pid
        assert self.stack.cpu_seconds("gateway"), "it lives"


async def _live(shop: Shop, ended: asyncio.Event) -> int:
    """A good client's day: a webhook and a list, again and again."""
    rounds = 0
    while not ended.is_set():
        await shop.receives(shop.hooks.event("presence.update", {"id": rounds}))
        assert await shop.call("GET", "/products") == {"data": [], "next_cursor": None}
        rounds += 1
        with suppress(TimeoutError):
            async with asyncio.timeout(0.25):
                await ended.wait()
    return rounds
