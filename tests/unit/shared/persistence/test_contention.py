"""A unit of work that was in another's way is done again, not for ever, and not in step."""

import random

import pytest

from shared.persistence.contention import TRIES, retried
from shared.persistence.database import Contended, DatabaseUnavailable


class Unit:
    """Fails as often as it was told to."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.done = 0

    async def __call__(self) -> str:
        self.done += 1
        if self._errors:
            raise self._errors.pop(0)
        return "done"


class Dice(random.Random):
    """Draws nothing, and remembers between which bounds it was asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.bounds: list[tuple[float, float]] = []

    def uniform(self, a: float, b: float) -> float:
        self.bounds.append((a, b))
        return 0.0


async def test_it_is_done_again_until_nobody_is_in_the_way() -> None:
    unit, dice = Unit(Contended(), Contended()), Dice()
    assert await retried(unit, dice) == "done"
    assert unit.done == 3
    assert dice.bounds == [(0, 0.04), (0, 0.08)]


async def test_the_fifth_failure_is_the_last() -> None:
    unit = Unit(*(Contended() for _ in range(9)))
    with pytest.raises(Contended):
        await retried(unit, Dice())
    assert unit.done == TRIES == 5


async def test_other_errors_are_not_tried_again() -> None:
    unit = Unit(DatabaseUnavailable())
    with pytest.raises(DatabaseUnavailable):
        await retried(unit, Dice())
    assert unit.done == 1
