"""How fast, how long, how patient."""

from datetime import timedelta
from random import Random

import pytest

from messenger.domain import Pace, Windows, hold

PACE = Pace(
    between_messages=timedelta(seconds=1),
    typing_per_character=timedelta(seconds=0.03),
    typing_at_most=timedelta(seconds=5),
)


@pytest.mark.parametrize("seed", range(20))
def test_the_gap_is_never_shorter_than_set(seed: int) -> None:
    assert timedelta(seconds=1) <= PACE.gap(Random(seed)) <= timedelta(seconds=1.5)


def test_typing_grows_with_the_text_up_to_its_limit() -> None:
    assert PACE.typing("", Random(1)) == timedelta(0)
    assert PACE.typing("x" * 10, Random(1)) < PACE.typing("x" * 50, Random(1))
    assert PACE.typing("x" * 10_000, Random(1)) == timedelta(seconds=5)


@pytest.mark.parametrize(("age", "about"), [(0, 5), (8, 5), (40, 20), (3000, 60)])
def test_the_longer_it_waits_the_seldomer_it_is_tried(age: int, about: int) -> None:
    waited = hold(timedelta(seconds=age), Random(3)).total_seconds()
    assert about * 0.8 <= waited <= about * 1.2


@pytest.mark.parametrize("unknown", [1, 10, 60, 600])
@pytest.mark.parametrize("call", [0.5, 30, 120])
def test_no_call_can_be_running_when_the_unknown_ends(unknown: float, call: float) -> None:
    windows = Windows.of(unknown=timedelta(seconds=unknown), call=timedelta(seconds=call))
    assert windows.claim + windows.call < windows.unknown
    assert windows.call <= timedelta(seconds=30)
    assert windows.claim <= timedelta(seconds=5)
