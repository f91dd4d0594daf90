"""Doing a unit of work again when another transaction was in its way."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.persistence.database import Contended

T = TypeVar("T")

TRIES = 5


async def retried(unit: Callable[[], Awaitable[T]], rng: random.Random | None = None) -> T:
    """What ``unit`` returns, at the latest the fifth time; in between up to a third of a second.

    The whole unit is done anew, so it must hold nothing that may not happen twice.

    Raises:
        Contended: others were in the way all the time.
    """
    draw = rng or random.Random()
    for tries in range(1, TRIES):
        try:
            return await unit()
        except Contended:
            await asyncio.sleep(draw.uniform(0, 0.02 * 2**tries))
    return await unit()
