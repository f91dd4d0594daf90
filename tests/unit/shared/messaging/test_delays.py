import random
from datetime import timedelta

import pytest

from shared.messaging.backoff import after_error, while_unavailable
from shared.messaging.delays import rung


@pytest.mark.parametrize(
    ("asked", "given"),
    [(0, 1), (0.2, 1), (1, 1), (1.01, 5), (5, 5), (29, 30), (31, 120), (121, 300), (9999, 300)],
)
def test_a_delay_is_rounded_up_to_a_rung(asked: float, given: float) -> None:
    assert rung(timedelta(seconds=asked)) == timedelta(seconds=given)


@pytest.mark.parametrize(("attempts", "longest"), [(0, 2), (1, 8), (2, 32), (3, 60), (99, 60)])
def test_errors_back_off_with_full_jitter(attempts: int, longest: float) -> None:
    rng = random.Random(7)
    waits = [after_error(attempts, rng).total_seconds() for _ in range(500)]

    assert 0 <= min(waits) < longest * 0.05
    assert longest * 0.95 < max(waits) <= longest


@pytest.mark.parametrize(("age", "longest"), [(0, 2), (10, 10), (3600, 60)])
def test_an_outage_is_waited_out_in_growing_steps(age: float, longest: float) -> None:
    rng = random.Random(7)
    waits = [
        while_unavailable(timedelta(seconds=age), None, rng).total_seconds() for _ in range(500)
    ]

    assert 0 <= min(waits) < longest * 0.05
    assert longest * 0.95 < max(waits) <= longest


@pytest.mark.parametrize(("asked", "least"), [(10, 10), (1_000_000_000, 600)])
def test_retry_after_is_obeyed_within_reason_and_spread(asked: float, least: float) -> None:
    rng = random.Random(7)
    asks = timedelta(seconds=asked)
    waits = [while_unavailable(timedelta(0), asks, rng).total_seconds() for _ in range(500)]

    assert least <= min(waits) < least * 1.02
    assert least * 1.3 < max(waits) <= least * 1.33


def test_a_retry_after_that_makes_no_sense_is_ignored() -> None:
    wait = while_unavailable(timedelta(0), timedelta(seconds=-5), random.Random(7))

    assert timedelta(0) <= wait <= timedelta(seconds=2)
