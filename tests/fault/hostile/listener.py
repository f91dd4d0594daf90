"""An evil server that takes whatever it is given and notes it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class EvilListener:
    port: int = 0
    heard: list[bytes] = field(default_factory=list)
    """One entry for each connection, with its first bytes."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(1):
                    self.heard.append(await reader.read(65_536))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def evil_listener() -> AsyncIterator[EvilListener]:
    listener = EvilListener()
    server = await asyncio.start_server(listener._serve, "127.0.0.1", 0)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()
        await server.wait_closed()
