import asyncio
from pathlib import Path

import pytest

from ai_platform.embedded.restarts import BackOff, describe_exit, keep_running
from ai_platform.errors import CommandFailed


def test_the_wait_doubles_up_to_thirty_seconds() -> None:
    back_off = BackOff()
    assert [back_off.after(1.0) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_healthy_minute_is_forgiven() -> None:
    back_off = BackOff()
    for _ in range(5):
        back_off.after(0.1)
    assert back_off.after(60.0) == 0.5
    assert back_off.after(59.9) == 1.0


@pytest.mark.parametrize(
    ("code", "words"),
    [(3, "with exit code 3"), (-9, "by SIGKILL"), (-200, "by signal 200")],
)
def test_an_exit_is_told_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words


class Brittle:
    """Lives until it is asked for its exit code, a given number of times."""

    name = "brittle"
    log = Path("/logs/brittle.log")

    def __init__(self, *, refuses: int = 0) -> None:
        self.starts = 0
        self._refuses = refuses
        self._running = True

    def exit_code(self) -> int | None:
        if self._running:
            self._running = False
            return None
        return 1

    async def start(self) -> None:
        self.starts += 1
        if self.starts <= self._refuses:
            raise CommandFailed("it cannot")
        self._running = True

    async def stop(self) -> None:
        self._running = False


async def _watch(part: Brittle, *, starts: int) -> tuple[list[str], list[float]]:
    """Watch until it was started so often; what was said, and the waits between lives."""
    said: list[str] = []
    waits: list[float] = []
    clock = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal clock
        clock += seconds
        if seconds != 0.1:
            waits.append(seconds)
        if part.starts >= starts:
            raise asyncio.CancelledError
        await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        await keep_running(part, say=said.append, monotonic=lambda: clock, sleep=sleep)
    return said, waits


async def test_what_ends_is_started_again_and_said_so() -> None:
    part = Brittle()
    said, waits = await _watch(part, starts=3)
    assert part.starts == 3
    assert waits[:3] == [0.5, 1.0, 2.0]
    assert said[0] == (
        "brittle ended with exit code 1 (see /logs/brittle.log); starting it again in 0.5 s"
    )


async def test_a_start_that_is_refused_is_said_and_tried_again() -> None:
    part = Brittle(refuses=1)
    said, _ = await _watch(part, starts=2)
    assert "it cannot" in said
    assert part.starts == 2
