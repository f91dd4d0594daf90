"""Ending tasks for certain."""

import asyncio
from collections.abc import Iterable
from typing import Any

_AGAIN = 0.5
"""Seconds after which a task that goes on is cancelled again."""


async def end(tasks: Iterable[asyncio.Task[Any]], *, within: float = float("inf")) -> None:
    """Cancel the tasks until each has ended, or ``within`` seconds have passed.

    Once is not enough: until Python 3.12 ``asyncio.wait_for``, which drivers use, forgets a
    cancellation that meets the answer it waits for.
    """
    loop = asyncio.get_running_loop()
    last = loop.time() + within
    running = set(tasks)
    while running and loop.time() < last:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=min(_AGAIN, last - loop.time()))
