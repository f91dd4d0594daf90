"""The wall clock, named so that it can be passed in."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present moment, aware, in UTC. What is compared with rows asks ``platform_now()``."""
    return datetime.now(UTC)
