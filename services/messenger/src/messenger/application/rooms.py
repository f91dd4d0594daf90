"""A bulkhead: one number whose server hangs must not hold every place of the process."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from shared.kernel.ids import ChannelId
from shared.messaging.port import Postpone

_FULL = timedelta(seconds=1)


class Rooms:
    """At most ``places`` bubbles of one channel are on their way at once in this process."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken: Counter[ChannelId] = Counter()

    @contextmanager
    def place(self, channel_id: ChannelId) -> Iterator[None]:
        """Hold a place. Raises `Postpone` when there is none."""
        if self._taken[channel_id] >= self._places:
            raise Postpone(_FULL)
        self._taken[channel_id] += 1
        try:
            yield
        finally:
            self._taken[channel_id] -= 1
            if not self._taken[channel_id]:
                del self._taken[channel_id]
