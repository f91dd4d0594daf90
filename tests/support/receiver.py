"""Somebody who wants to be told: a real HTTP server that keeps what it got and answers as told.

async with Receiver() as receiver:
    receiver.script(Reply(500), Reply(200))
    ... receiver.url, receiver.got
"""

import asyncio
import base64
import hmac
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import orjson


@dataclass(frozen=True)
class Reply:
    """What is answered. ``slowly``: one byte a tenth of a second, without end."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    slowly: bool = False


@dataclass(frozen=True)
class Got:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


def verified(got: Got, secret: str) -> bool:
    """Standard Webhooks, written from its specification: any ``v1`` that matches is enough."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    said = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    expected = base64.b64encode(hmac.new(key, said, "sha256").digest()).decode()
    versions = (part.split(",", 1) for part in got.headers["webhook-signature"].split(" "))
    return any(
        version == "v1" and hmac.compare_digest(given, expected) for version, given in versions
    )


class Receiver:
    """The server. Replies are used up in the order of the requests; then it answers 204."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.while_asked: Callable[[], Any] | None = None
        """Awaited before each answer."""
        self._replies: deque[Reply] = deque()
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/selesai?toko=1"

    def script(self, *replies: Reply) -> None:
        self._replies.extend(replies)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._exchange(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the caller went away, or the test is over
        finally:
            self._open.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.got.append(Got(method, path, headers, body))
        if self.while_asked is not None:
            await self.while_asked()
        reply = self._replies.popleft() if self._replies else Reply()
        while reply.slowly:
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.1)
        told = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
        head = f"HTTP/1.1 {reply.status} Told\r\nconnection: close\r\ncontent-length: 0\r\n"
        writer.write(f"{head}{told}\r\n".encode())
        await writer.drain()
