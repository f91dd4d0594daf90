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
    """Works while one task runs and nothing else in the process does: CPU is the process's."""

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
        with self.stage(REST):
            yield
        for name, (cpu, wall) in self._run.items():
            self.cpu[name].append(cpu)
            self.wall[name].append(wall)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._account()
        self._stack.append(name)
        try:
            yield
        finally:
            self._account()
            self._stack.pop()

    def _account(self) -> None:
        now = (time.process_time(), time.perf_counter())
        if self._stack:
            name = self._stack[-1]
            cpu, wall = self._run.get(name, (0.0, 0.0))
            self._run[name] = (cpu + now[0] - self._mark[0], wall + now[1] - self._mark[1])
        self._mark = now

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
                with self.stage(stage):
                    return await function(*args, **kwargs)

            return watched_async

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if not self._stack:
                return function(*args, **kwargs)
            with self.stage(stage):
                return function(*args, **kwargs)

        return watched
