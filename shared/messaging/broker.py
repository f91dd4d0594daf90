"""Connections to RabbitMQ that we look after ourselves.

The library's robust connection has, in the past, come back without its consumers. Ours are plain:
whatever ends one, we open the next and declare everything anew.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import aio_pika
import structlog
from aio_pika.abc import AbstractConnection
from aio_pika.connection import make_url
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from shared.messaging.ending import end
from shared.messaging.topology import PATIENCE_SECONDS

BROKER_ERRORS = (*CONNECTION_EXCEPTIONS, TimeoutError)
_HEARTBEAT_SECONDS = 10

log = structlog.get_logger()


class SessionLost(Exception):
    """What we held at the broker is gone, although the connection may stand."""


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[AbstractConnection]:
    """A connection that notices within seconds that the other side is gone."""
    # not `aio_pika.connect`: a connection that it could not open is never closed, which the garbage
    # collector then tries in whatever thread it runs
    connection = aio_pika.Connection(make_url(url, heartbeat=_HEARTBEAT_SECONDS))
    try:
        await connection.connect(timeout=PATIENCE_SECONDS)
        yield connection
    finally:
        with suppress(*BROKER_ERRORS):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await connection.close()


async def keep(
    session: Callable[[], Coroutine[Any, Any, None]], *, name: str, rng: random.Random
) -> None:
    """Hold a session with the broker, and after each end the next, until cancelled.

    The session runs in a task of its own: a connection that closes cancels those who wait for its
    answers, and that must not look like our own cancellation.
    """
    while True:
        running = asyncio.create_task(session(), name=name)
        try:
            await asyncio.wait({running})
        finally:
            await end([running])
        error = asyncio.CancelledError() if running.cancelled() else running.exception()
        expected = isinstance(error, (*BROKER_ERRORS, SessionLost, asyncio.CancelledError))
        log.warning(
            "broker_session_ended",
            session=name,
            error=type(error).__name__,
            exc_info=None if expected else error,
        )
        await asyncio.sleep(rng.uniform(0.5, 1.5))
