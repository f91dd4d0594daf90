"""What follows when a job's run has failed."""

import random
from datetime import timedelta
from typing import Any

import pytest

from llm_worker.domain.services.job_retry import GiveUp, TryAgain, after_failure
from llm_worker.infrastructure.llm.circuit_breaker import CircuitOpenError
from llm_worker.infrastructure.llm.errors import (
    ContextTooLong,
    ModelKeyInvalid,
    ModelRefused,
    ModelUnavailable,
)
from llm_worker.infrastructure.llm.response_validator import InvalidResponse
from llm_worker.infrastructure.llm.timeout import DeadlinePassed, LLMTimeoutError
from shared.kernel.errors import DomainError, TooMany
from tests.unit.llm_worker.infrastructure.fake_time import Dice

HOUR = timedelta(hours=1)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def decide(error: DomainError, **changes: Any) -> TryAgain | GiveUp:
    values: dict[str, Any] = {
        "called": True,
        "retry_count": 0,
        "max_retries": 3,
        "left": HOUR,
        "rng": Dice(0.0),
    }
    return after_failure(error, **(values | changes))


@pytest.mark.parametrize(
    ("retry", "delay"), [(0, 1), (1, 5), (2, 30), (3, 120), (4, 300), (9, 300)]
)
def test_delays_climb_the_ladder(retry: int, delay: float) -> None:
    found = decide(ModelUnavailable(), retry_count=retry, max_retries=20)
    assert found == TryAgain(seconds(delay), counted=True)


@pytest.mark.parametrize("error", [ModelUnavailable(), LLMTimeoutError(5)])
def test_retries_end(error: DomainError) -> None:
    found = decide(error, retry_count=3)
    assert found == GiveUp(error.code, f"{error.detail} (after 3 retries)")


@pytest.mark.parametrize(
    "error", [ModelRefused(), ContextTooLong(), ModelKeyInvalid(), InvalidResponse()]
)
def test_what_waiting_does_not_mend_is_given_up(error: DomainError) -> None:
    assert decide(error) == GiveUp(error.code, error.detail)


@pytest.mark.parametrize(
    ("told", "delay"), [(1, 5), (5, 5), (6, 30), (120, 120), (121, 300), (600, 600)]
)
def test_a_told_wait_is_kept_in_full_and_counts_no_retry(told: float, delay: float) -> None:
    error = ModelUnavailable(retry_after=seconds(told))
    assert decide(error, retry_count=3) == TryAgain(seconds(delay), counted=False)
    spent = TooMany(retry_after=seconds(told))
    assert decide(spent, retry_count=3) == TryAgain(seconds(delay), counted=False)


def test_an_open_circuit_is_waited_for() -> None:
    error = CircuitOpenError("x", retry_after=seconds(60), cause="model_unavailable")
    assert decide(error, called=False, retry_count=3) == TryAgain(seconds(120), counted=False)


@pytest.mark.parametrize("cause", ["model_key_invalid", "model_quota_spent"])
def test_a_circuit_that_a_bad_key_opened_is_not(cause: str) -> None:
    found = decide(CircuitOpenError("x", retry_after=seconds(60), cause=cause), called=False)
    assert isinstance(found, GiveUp)
    assert found.code == cause


def test_no_try_is_planned_beyond_the_deadline() -> None:
    found = decide(ModelUnavailable(retry_after=seconds(120)), left=seconds(120))
    assert isinstance(found, GiveUp)
    assert found.code == "model_unavailable"
    assert "the deadline leaves no time" in found.error


def test_the_deadline_is_named_when_it_has_passed() -> None:
    found = decide(DeadlinePassed(3, "The model x"), left=seconds(0))
    assert found == GiveUp(
        "job_deadline_exceeded", "The deadline passed. The model x took more than 3 seconds"
    )


def test_jobs_that_failed_together_do_not_come_back_together() -> None:
    rng = random.Random(3)
    for error, least in ((ModelUnavailable(), 1), (ModelUnavailable(retry_after=seconds(60)), 120)):
        delays = []
        for _ in range(200):
            found = decide(error, rng=rng)
            assert isinstance(found, TryAgain)
            delays.append(found.delay.total_seconds())
        assert min(delays) >= least
        assert max(delays) - min(delays) >= 0.3 * least
        assert max(delays) <= 1.5 * least


def test_the_spread_does_not_reach_the_deadline() -> None:
    for throw in (0.0, 0.5, 0.999):
        found = decide(
            ModelUnavailable(retry_after=seconds(120)), left=seconds(121), rng=Dice(throw)
        )
        assert isinstance(found, TryAgain)
        assert seconds(120) <= found.delay < seconds(121)
