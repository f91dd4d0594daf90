"""Waiting for as long as somebody waits for us."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from shared.messaging.ending import end

T = TypeVar("T")


async def while_connected(request: Request, waiting: Coroutine[Any, Any, T], otherwise: T) -> T:
    """What ``waiting`` brings, or ``otherwise`` as soon as whoever asked has hung up.

    The request's body has been read before.
    """
    wait = asyncio.create_task(waiting)
    hung_up = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({wait, hung_up}, return_when=asyncio.FIRST_COMPLETED)
        return wait.result() if wait.done() else otherwise
    finally:
        await end([wait, hung_up])


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
