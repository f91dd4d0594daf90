"""Every boundary of a scenario, each in every mode, many runs at once."""

import asyncio
import random
import traceback
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Self

from tests.fault.boundaries import Boundary, Mode
from tests.fault.crash_runs import PATIENCE, Hit, Laboratory, Missed, Run
from tests.fault.crash_scenarios import Recording, Scenario, assert_kept, play, record

_TRIES = 3
"""A run may go by its boundary because another task was quicker this time."""
_STARVED = 0.7
"""Seconds by which our own clock-work was late: leases ran out because the machine stood still."""
_LIVE_ON = ("consume ", "inbox-flusher")


def hits(recording: Recording, modes: Iterable[Mode] = Mode) -> list[Hit]:
    """Every fault that can be injected: nothing can happen before what is known afterwards, and
    nobody ever cancels the tasks that live as long as their process."""
    return [
        Hit(boundary, mode)
        for boundary in recording.boundaries
        for mode in modes
        if _can(boundary, mode)
    ]


def _can(boundary: Boundary, mode: Mode) -> bool:
    if boundary.late and mode is Mode.DIE_BEFORE:
        return False
    return mode is not Mode.CANCEL or not boundary.stage.startswith(_LIVE_ON)


def sample(found: Sequence[Hit], count: int, dice: random.Random) -> list[Hit]:
    return dice.sample(list(found), min(count, len(found)))


@dataclass(frozen=True)
class Enumeration:
    """Runs one scenario again and again."""

    laboratory: Laboratory
    scenario: Scenario
    patch: str | None = None
    """A mistake that is planted into every service, as `fork_server.spawn` takes it."""
    patience: float = PATIENCE

    async def record(self) -> Recording:
        """Play it without a fault. A machine that stood still lists the boundaries of repeated
        claims too, so such a recording is made again."""
        for _ in range(_TRIES - 1):
            pulse = _Pulse()
            try:
                recording = await self._record(pulse)
            except AssertionError:
                if not pulse.starved:
                    raise
            else:
                if not pulse.starved:
                    return recording
        return await self._record(_Pulse())

    async def _record(self, pulse: "_Pulse") -> Recording:
        async with self.laboratory.places, pulse, self._run(None) as run:
            return await record(self.scenario, run)

    async def failures(self, recording: Recording, chosen: Sequence[Hit]) -> list[str]:
        """Run all of the chosen; what broke, one text per fault."""
        found = await asyncio.gather(*(self._failure(recording, hit) for hit in chosen))
        return [failure for failure in found if failure is not None]

    async def assert_kept(self, recording: Recording, chosen: Sequence[Hit]) -> None:
        assert chosen
        failures = await self.failures(recording, chosen)
        told = "\n\n".join(failures)
        assert not failures, f"{len(failures)} of {len(chosen)} runs broke a promise\n\n{told}"

    async def _failure(self, recording: Recording, hit: Hit) -> str | None:
        told = ""
        for _ in range(_TRIES):
            async with self.laboratory.places, _Pulse() as pulse:
                logs = ""
                try:
                    async with self._run(hit) as run:
                        try:
                            await play(self.scenario, run)
                            await assert_kept(self.scenario, run, recording)
                        finally:
                            logs = run.logs[-2000:]
                except Exception as error:  # noqa: BLE001 - all of them are told together
                    told = f"{self.scenario.name}: {hit}\n{_trace(error)}\n{logs}"
                    if not isinstance(error, Missed) and not pulse.starved:
                        return told
                else:
                    return None
        return told

    def _run(self, hit: Hit | None) -> AbstractAsyncContextManager[Run]:
        return self.laboratory.run(
            hit, services=self.scenario.services, patch=self.patch, patience=self.patience
        )


class _Pulse:
    """Beats while the block runs, and knows how late its latest beat ever was."""

    latest = 0.0

    @property
    def starved(self) -> bool:
        return self.latest >= _STARVED

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 0.05
            await asyncio.sleep(0.05)
            self.latest = max(self.latest, loop.time() - due)


def _trace(error: Exception) -> str:
    return "".join(traceback.format_exception(error, limit=-4))
