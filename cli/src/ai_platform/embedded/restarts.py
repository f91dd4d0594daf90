"""Keeping the parts of the platform running: a part that ends is started again, patiently."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ai_platform.errors import CommandFailed

_POLL_SECONDS = 0.1


class Part(Protocol):
    """A child process of the supervisor."""

    @property
    def name(self) -> str: ...

    @property
    def log(self) -> Path:
        """Where it says what happens to it."""
        ...

    def exit_code(self) -> int | None:
        """``None`` while it runs; negative when a signal ended it."""
        ...

    async def start(self) -> None:
        """Start it; return when others may rely on it.

        Raises:
            CommandFailed: it cannot run.
        """
        ...

    async def stop(self) -> None:
        """End it in order, and by force when it does not listen."""
        ...


@dataclass
class BackOff:
    """How long to wait before the next start: doubling, forgiven after a healthy while."""

    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    healthy_seconds: float = 60.0
    _next: float | None = None

    def after(self, lived_seconds: float) -> float:
        """The wait after a life of this length."""
        if self._next is None or lived_seconds >= self.healthy_seconds:
            self._next = self.first_seconds
        delay = self._next
        self._next = min(delay * 2, self.longest_seconds)
        return delay


async def keep_running(
    part: Part,
    *,
    say: Callable[[str], None],
    monotonic: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Watch a started part and start it again whenever it ends. Ends by being cancelled."""
    back_off = BackOff()
    born = monotonic()
    while True:
        while (code := part.exit_code()) is None:
            await sleep(_POLL_SECONDS)
        delay = back_off.after(monotonic() - born)
        ending = f"{part.name} ended {describe_exit(code)} (see {part.log})"
        say(f"{ending}; starting it again in {delay:g} s")
        await sleep(delay)
        born = monotonic()
        try:
            await part.start()
        except CommandFailed as error:
            say(str(error))


def describe_exit(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"
