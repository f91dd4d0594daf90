"""When a callback that was not taken is tried again."""

import random
from datetime import timedelta
from typing import Final

RUNGS: Final = (
    timedelta(seconds=5),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=8),
    timedelta(hours=8),
)
"""Waits after the first failure, the second, and so on: a day, all together."""
LONGEST_WAIT: Final = timedelta(hours=8)
"""A receiver's Retry-After cannot ask for more than a rung has."""
_SPREAD: Final = 0.1


def wait_after(failures: int, *, asked: timedelta | None, rng: random.Random) -> timedelta | None:
    """How long to wait after so many failures, or ``None`` when they were enough.

    ``asked`` is the receiver's Retry-After. Waits are spread, so that callbacks that failed
    together do not come back together.
    """
    if failures > len(RUNGS):
        return None
    wait = RUNGS[failures - 1] * rng.uniform(1 - _SPREAD, 1 + _SPREAD)
    return wait if asked is None else max(wait, min(asked, LONGEST_WAIT))
