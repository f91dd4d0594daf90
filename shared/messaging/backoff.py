"""How long work waits before its next try: always with full jitter, so that nothing comes back
in step with what failed beside it."""

import random
from datetime import timedelta

_FIRST = timedelta(seconds=2)
_LONGEST = timedelta(seconds=60)
_LONGEST_ASKED = timedelta(minutes=10)


def after_error(attempts: int, rng: random.Random) -> timedelta:
    """Up to 2 s after the first failed try, four times as much after each further one."""
    longest: timedelta = min(_LONGEST, _FIRST * 4 ** min(attempts, 8))
    return rng.random() * longest


def while_unavailable(
    age: timedelta, retry_after: timedelta | None, rng: random.Random
) -> timedelta:
    """Up to as long again as the work is old, at most a minute: it grows without counting tries.

    What the other side asked for is kept, spread by a third and obeyed up to ten minutes.
    """
    if retry_after is not None and retry_after > timedelta(0):
        return min(retry_after, _LONGEST_ASKED) * rng.uniform(1, 1.33)
    return rng.random() * min(_LONGEST, max(_FIRST, age))
