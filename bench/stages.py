"""Where the time of one piece of work goes: CPU and wall by stage, each without those inside it."""

import functools
import inspect
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

REST = "rest"
"""What is done between the stages."""


class Stages:
    """Works while one task runs and nothing else in the process does: CPU is the process's.

    What the watch itself costs is charged to no stage, but for less than a microsecond each time.
    """

    def __init__(self) -> None:
        self.cpu: dict[str, list[float]] = defaultdict(list)
        """Seconds by stage, one value for each run."""
        self.wall: dict[str, list[float]] = defaultdict(list)
        self._stack: list[str] = []
        self._mark = (0.0, 0.0)
        self._run: dict[str, tuple[float, float]] = {}

    @contextmanager
    def run(self) -> Iterator[None]:
        """One piece of work from beginning to end."""
        self._run = {}
        self._enter(REST)
        try:
            yield
        finally:
            self._leave()
        for name, (cpu, wall) in self._run.items():
            self.cpu[name].append(cpu)
            self.wall[name].append(wall)

    def _enter(self, name: str) -> None:
        self._charge()
        self._stack.append(name)
        self._mark = _clocks()

    def _leave(self) -> None:
        self._charge()
        self._stack.pop()
        self._mark = _clocks()

    def _charge(self) -> None:
        """Give the time since the mark to the stage that it passed in."""
        cpu, wall = _clocks()
        if self._stack:
            name = self._stack[-1]
            before = self._run.get(name, (0.0, 0.0))
            self._run[name] = (before[0] + cpu - self._mark[0], before[1] + wall - self._mark[1])

    @contextmanager
    def watching(self, *places: tuple[Any, str, str]) -> Iterator[None]:
        """Take (owner, name of the function, stage) for a stage while the block runs."""
        before = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
        for (owner, name, function), (_, _, stage) in zip(before, places, strict=True):
            setattr(owner, name, self._watched(function, stage))
        try:
            yield
        finally:
            for owner, name, function in before:
                setattr(owner, name, function)

    def _watched(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def watched_async(*args: Any, **kwargs: Any) -> Any:
                if not self._stack:
                    return await function(*args, **kwargs)
                self._enter(stage)
                try:
                    return await function(*args, **kwargs)
                finally:
                    self._leave()

            return watched_async

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if not self._stack:
                return function(*args, **kwargs)
            self._enter(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self._leave()

        return watched


def _clocks() -> tuple[float, float]:
    """CPU of this process and the time of day, in seconds."""
    return time.process_time(), time.perf_counter()
