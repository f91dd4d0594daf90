import random
from datetime import timedelta

import pytest

from commerce_agent.domain.services.callback_rules import LONGEST_WAIT, RUNGS, wait_after

RNG = random.Random(7)


def test_the_waits_last_about_a_day() -> None:
    assert timedelta(hours=22) < sum(RUNGS, timedelta()) < timedelta(hours=26)
    assert list(RUNGS) == sorted(RUNGS)


@pytest.mark.parametrize("failures", range(1, len(RUNGS) + 1))
def test_each_failure_has_its_rung_spread_by_a_tenth(failures: int) -> None:
    waits = {wait_after(failures, asked=None, rng=RNG) for _ in range(100)}
    rung = RUNGS[failures - 1]
    assert len(waits) > 50
    assert all(wait is not None and 0.9 * rung <= wait <= 1.1 * rung for wait in waits)


def test_after_the_last_rung_there_is_no_more() -> None:
    assert wait_after(len(RUNGS) + 1, asked=timedelta(seconds=1), rng=RNG) is None


def test_what_the_receiver_asks_for_counts_within_reason() -> None:
    assert wait_after(1, asked=timedelta(minutes=7), rng=RNG) == timedelta(minutes=7)
    assert wait_after(1, asked=timedelta(days=30), rng=RNG) == LONGEST_WAIT
    asked_less = wait_after(4, asked=timedelta(seconds=1), rng=RNG)
    assert asked_less is not None
    assert asked_less >= 0.9 * RUNGS[3]
