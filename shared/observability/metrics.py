"""Metrics of one process, and where they can be read.

Metrics are module-level `prometheus_client` objects beside the code they measure. The gateway
serves its own at ``/metrics``; a worker opens METRICS_PORT, or a unix socket in RUN_DIR that the
gateway merges.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from shared.config.settings import ObservabilitySettings

_HEAD = (
    f"HTTP/1.1 200 OK\r\ncontent-type: {CONTENT_TYPE_LATEST}\r\nconnection: close\r\n"
    "content-length: {length}\r\n\r\n"
)
_REQUEST_SECONDS = 5.0
SOCKET_SUFFIX = ".metrics.sock"
_own_sockets: set[Path] = set()  # as the registry, one for the whole process


@asynccontextmanager
async def serve_metrics(service: str, settings: ObservabilitySettings) -> AsyncIterator[None]:
    """Answer ``GET /metrics`` while the block runs, on the port or the socket of the settings."""
    servers: list[asyncio.Server] = []
    socket_path = None
    try:
        if settings.metrics_port is not None:
            servers.append(
                await asyncio.start_server(_answer, "0.0.0.0", settings.metrics_port)  # noqa: S104
            )
        if settings.run_dir is not None:
            settings.run_dir.mkdir(parents=True, exist_ok=True)
            socket_path = settings.run_dir / f"{service}{SOCKET_SUFFIX}"
            socket_path.unlink(missing_ok=True)
            servers.append(await asyncio.start_unix_server(_answer, socket_path))
            _own_sockets.add(socket_path)
        yield
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()
        if socket_path is not None:
            _own_sockets.discard(socket_path)
            socket_path.unlink(missing_ok=True)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(_REQUEST_SECONDS):
            await reader.readuntil(b"\r\n\r\n")
            body = generate_latest(REGISTRY)
            writer.write(_HEAD.format(length=len(body)).encode() + body)
            await writer.drain()
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # a scraper that went away
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def own_sockets() -> frozenset[Path]:
    """The sockets that this very process answers on."""
    return frozenset(_own_sockets)


async def read_metrics(socket_path: Path) -> bytes:
    """The metrics of a neighbour process; empty when it does not answer, or breaks off."""
    try:
        async with asyncio.timeout(_REQUEST_SECONDS):
            reader, writer = await asyncio.open_unix_connection(socket_path)
            writer.write(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")
            answer = await reader.read()
            writer.close()
    except (OSError, TimeoutError):
        return b""
    head, _, body = answer.partition(b"\r\n\r\n")
    is_whole = head.endswith(b"content-length: %d" % len(body))
    return body if is_whole else b""
