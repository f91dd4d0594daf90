"""Trying again: how often, after how long, and when another try would only add to the trouble."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from llm_worker.infrastructure.llm.circuit_breaker import CircuitOpenError
from llm_worker.infrastructure.llm.errors import ModelUnavailable

T = TypeVar("T")

Sleep = Callable[[float], Awaitable[None]]
Monotonic = Callable[[], float]

_DICE = random.Random()
_SPREAD = 0.5
"""Callers that were told the same Retry-After come back over this share of it more, not at once."""


@dataclass(frozen=True, slots=True)
class BackoffConfig:
    """Exponential growth up to a cap, in seconds.

    ``jitter_factor`` is the share of a delay that chance decides. 1.0 is full jitter: anything
    from nothing to the whole delay, so that callers who failed together do not return together.
    """

    initial_delay: float = 1.0
    max_delay: float = 60.0
    multiplier: float = 2.0
    jitter_factor: float = 1.0

    def delay(self, retry: int, dice: random.Random, told: timedelta | None = None) -> float:
        """Seconds before retry number ``retry``, counted from 1.

        ``told`` is the server's Retry-After: never less than that, and more than ``max_delay`` if
        it says so.
        """
        whole = self.initial_delay
        for _ in range(retry - 1):  # by steps, because 2.0 ** 2000 is an error
            whole = min(whole * self.multiplier, self.max_delay)
        own = min(whole, self.max_delay) * (1 - self.jitter_factor * dice.random())
        if told is None:
            return own
        return max(own, told.total_seconds() * (1 + _SPREAD * dice.random()))


class RetryBudget:
    """Retries to one destination: a tenth of the first attempts of the last minute, at least three.

    With it an outage costs a provider little more traffic than an ordinary minute.
    """

    def __init__(
        self,
        *,
        share: float = 0.1,
        floor: int = 3,
        window_seconds: float = 60.0,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._share = share
        self._floor = floor
        self._window = window_seconds
        self._monotonic = monotonic
        self._first: deque[float] = deque()
        self._again: deque[float] = deque()

    def first_attempt(self) -> None:
        self._forget()
        self._first.append(self._monotonic())

    def take(self) -> bool:
        """Spend one retry if there is one left."""
        self._forget()
        if len(self._again) >= max(self._floor, self._share * len(self._first)):
            return False
        self._again.append(self._monotonic())
        return True

    def _forget(self) -> None:
        horizon = self._monotonic() - self._window
        for moments in (self._first, self._again):
            while moments and moments[0] <= horizon:
                moments.popleft()


async def retry_with_backoff(
    coro_factory: Callable[[], Awaitable[T]],
    max_retries: int = 3,
    backoff_config: BackoffConfig | None = None,
    retryable_exceptions: tuple[type[BaseException], ...] | None = None,
    *,
    deadline: timedelta | None = None,
    budget: RetryBudget | None = None,
    sleep: Sleep = asyncio.sleep,
    dice: random.Random = _DICE,
    monotonic: Monotonic = time.monotonic,
) -> T:
    """Await ``coro_factory()`` until it succeeds, ``max_retries`` more times at most.

    Only ``retryable_exceptions`` are tried again (`ModelUnavailable` unless given), and an open
    circuit never. A wait that would reach past ``deadline``, or one that ``budget`` does not
    allow, is not begun. Whatever ends the tries, the last error is raised as it came.
    """
    config = backoff_config or BackoffConfig()
    retryable = retryable_exceptions or (ModelUnavailable,)
    end = None if deadline is None else monotonic() + deadline.total_seconds()
    if budget is not None:
        budget.first_attempt()
    retry = 0
    while True:
        try:
            return await coro_factory()
        except retryable as error:
            retry += 1
            if isinstance(error, CircuitOpenError) or retry > max_retries:
                raise
            wait = config.delay(retry, dice, getattr(error, "retry_after", None))
            if end is not None and monotonic() + wait >= end:
                raise
            if budget is not None and not budget.take():
                raise
        await sleep(wait)
