"""Leave a provider alone that does not answer, and find out gently when it does again.

State lives in this process only and is lost with it, by design: a restarted worker asks once.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TypeVar

import structlog

from llm_worker.infrastructure.llm.errors import (
    ModelCallFailed,
    ModelKeyInvalid,
    ModelUnavailable,
    as_platform_error,
)
from llm_worker.infrastructure.llm.metrics import CIRCUIT_STATE
from shared.kernel.errors import DomainError, Unavailable

T = TypeVar("T")

Monotonic = Callable[[], float]

log = structlog.get_logger()

_PROBE_PATIENCE = timedelta(seconds=1)
"""When to ask again while somebody else's probe is under way."""


class CircuitState(Enum):
    CLOSED = "closed"
    """Calls pass."""
    OPEN = "open"
    """Calls are refused at once."""
    HALF_OPEN = "half_open"
    """One call at a time passes, to see whether the provider is back."""


class CircuitOpenError(ModelUnavailable):
    """This model is left alone for a while because it has been failing."""

    code = "model_circuit_open"
    blames_provider = False

    def __init__(self, name: str, *, retry_after: timedelta, cause: str | None) -> None:
        super().__init__(retry_after=retry_after, cause=cause)
        self.name = name
        self.cause = cause
        """The code of the error that opened the circuit."""


@dataclass(frozen=True, slots=True)
class CircuitBreakerConfig:
    failure_threshold: int = 5
    """Failures in a row that open the circuit."""
    success_threshold: int = 2
    """Probes in a row that close it."""
    timeout_seconds: float = 60.0
    """How long it stays open, unless the provider's Retry-After says longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitStatistics:
    """A breaker as people look at it; counts are since it was made."""

    name: str
    state: CircuitState
    calls: int
    failures: int
    refused: int
    """Calls that were not made."""
    opened: int
    cause: str | None
    """The code of the error that opened it, while it is not closed."""
    retry_in: timedelta | None
    """While it is open: when a probe may pass."""


class CircuitBreaker:
    """Guards one destination. Not for use from several threads.

    A failure is an `Unavailable`. A refused key or a spent account opens at once: it will not get
    better by asking. Any other answer of the provider, also "I do not understand", proves that it
    is there. A cancelled call, our own bugs and `DeadlinePassed` prove nothing.
    """

    def __init__(
        self,
        name: str,
        config: CircuitBreakerConfig | None = None,
        *,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self.name = name
        self.config = config or CircuitBreakerConfig()
        self._monotonic = monotonic
        self._state = CircuitState.CLOSED
        self._failures = 0
        self._successes = 0
        self._open_until = 0.0
        self._probing = False
        self._cause: str | None = None
        # outcomes of calls that began before the last change of state say nothing about now
        self._era = 0
        self._counts = dict.fromkeys(("calls", "failures", "refused", "opened"), 0)
        self._show()

    @property
    def state(self) -> CircuitState:
        """The state a call would meet now."""
        if self._state is CircuitState.OPEN and self._monotonic() >= self._open_until:
            return CircuitState.HALF_OPEN
        return self._state

    def statistics(self) -> CircuitStatistics:
        """How it stands and what it has seen."""
        state = self.state
        rest = timedelta(seconds=self._open_until - self._monotonic())
        return CircuitStatistics(
            name=self.name,
            state=state,
            cause=self._cause,
            retry_in=rest if state is CircuitState.OPEN else None,
            **self._counts,
        )

    def reset(self) -> None:
        """Close it and forget its failures; calls that are under way say nothing any more."""
        self._become(CircuitState.CLOSED)

    async def call(self, coro_factory: Callable[[], Awaitable[T]]) -> T:
        """Await ``coro_factory()`` if the circuit lets it pass; it is not called otherwise.

        Raises:
            CircuitOpenError: it does not; ``retry_after`` says when it may.
        """
        try:
            era = self._enter()
        except CircuitOpenError:
            self._counts["refused"] += 1
            raise
        self._counts["calls"] += 1
        try:
            result = await coro_factory()
        except Exception as error:
            self._judge(era, error)
            raise
        except BaseException:
            self._leave(era)
            raise
        self._succeeded(era)
        return result

    def _enter(self) -> int:
        state = self.state
        if state is CircuitState.OPEN:
            rest = timedelta(seconds=self._open_until - self._monotonic())
            raise CircuitOpenError(self.name, retry_after=rest, cause=self._cause)
        if state is CircuitState.HALF_OPEN:
            if self._state is CircuitState.OPEN:
                self._become(CircuitState.HALF_OPEN)
            if self._probing:
                raise CircuitOpenError(self.name, retry_after=_PROBE_PATIENCE, cause=self._cause)
            self._probing = True
        return self._era

    def _judge(self, era: int, error: Exception) -> None:
        meaning = as_platform_error(error)
        if isinstance(meaning, ModelKeyInvalid):
            self._failed(era, meaning, at_once=True)
        elif isinstance(meaning, ModelCallFailed) or _proves_nothing(meaning):
            self._leave(era)
        elif isinstance(meaning, Unavailable):
            self._failed(era, meaning)
        else:
            self._succeeded(era)

    def _failed(self, era: int, error: DomainError, *, at_once: bool = False) -> None:
        self._counts["failures"] += 1
        if era != self._era:
            return
        self._failures += 1
        probe_failed = self._state is CircuitState.HALF_OPEN
        if not (at_once or probe_failed or self._failures >= self.config.failure_threshold):
            return
        wait = self.config.timeout_seconds
        told = getattr(error, "retry_after", None)
        if told is not None:
            wait = max(wait, told.total_seconds())
        self._open_until = self._monotonic() + wait
        self._cause = error.code
        self._counts["opened"] += 1
        self._become(CircuitState.OPEN)

    def _succeeded(self, era: int) -> None:
        if era != self._era:
            return
        self._failures = 0
        if self._state is CircuitState.HALF_OPEN:
            self._probing = False
            self._successes += 1
            if self._successes >= self.config.success_threshold:
                self._become(CircuitState.CLOSED)

    def _leave(self, era: int) -> None:
        """The call ended without saying anything about the provider."""
        if era == self._era:
            self._probing = False

    def _become(self, state: CircuitState) -> None:
        self._state = state
        self._failures = self._successes = 0
        self._probing = False
        self._era += 1
        log.info("circuit_changed", circuit=self.name, state=state.value, cause=self._cause)
        if state is CircuitState.CLOSED:
            self._cause = None
        self._show()

    def _show(self) -> None:
        CIRCUIT_STATE.labels(circuit=self.name).set(_SHOWN_AS[self._state])


def _proves_nothing(meaning: DomainError) -> bool:
    return isinstance(meaning, ModelUnavailable) and not meaning.blames_provider


_SHOWN_AS = {CircuitState.CLOSED: 0, CircuitState.HALF_OPEN: 1, CircuitState.OPEN: 2}


class CircuitBreakerRegistry:
    """The breakers of one process by name. The one unused for longest makes room when it is full,
    so that keys which tenants replaced do not pile up."""

    def __init__(
        self,
        config: CircuitBreakerConfig | None = None,
        *,
        capacity: int = 1024,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self.config = config or CircuitBreakerConfig()
        """What breakers are made with from now on."""
        self._capacity = capacity
        self._monotonic = monotonic
        self._breakers: OrderedDict[str, CircuitBreaker] = OrderedDict()

    def get_or_create(
        self, name: str, config: CircuitBreakerConfig | None = None
    ) -> CircuitBreaker:
        """The breaker of that name; ``config`` counts only when it is made now."""
        breaker = self._breakers.get(name)
        if breaker is None:
            breaker = CircuitBreaker(name, config or self.config, monotonic=self._monotonic)
            self._breakers[name] = breaker
            if len(self._breakers) > self._capacity:
                gone, _ = self._breakers.popitem(last=False)
                CIRCUIT_STATE.remove(gone)
        self._breakers.move_to_end(name)
        return breaker

    def states(self) -> dict[str, CircuitState]:
        """Every breaker's present state, for the status page."""
        return {name: breaker.state for name, breaker in self._breakers.items()}

    def statistics(self) -> list[CircuitStatistics]:
        """Every breaker, by name."""
        return [breaker.statistics() for _, breaker in sorted(self._breakers.items())]

    def reset(self, name: str | None = None) -> int:
        """Close the breaker of this name, or every one; how many there were."""
        chosen = [b for b in self._breakers.values() if name is None or b.name == name]
        for breaker in chosen:
            breaker.reset()
        return len(chosen)
