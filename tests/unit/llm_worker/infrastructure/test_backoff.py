import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from llm_worker.infrastructure.llm.backoff import BackoffConfig, RetryBudget, retry_with_backoff
from llm_worker.infrastructure.llm.circuit_breaker import CircuitOpenError
from llm_worker.infrastructure.llm.errors import ModelKeyInvalid, ModelUnavailable
from tests.unit.llm_worker.infrastructure.fake_time import Dice, FakeTime


def failing(*errors: Exception) -> tuple[Callable[[], Awaitable[str]], list[int]]:
    """A call that fails with each error in turn and then succeeds."""
    left, calls = list(errors), [0]

    async def call() -> str:
        calls[0] += 1
        if left:
            raise left.pop(0)
        return "done"

    return call, calls


async def test_it_tries_until_it_succeeds() -> None:
    time = FakeTime()
    call, calls = failing(ModelUnavailable(), ModelUnavailable())
    answer = await retry_with_backoff(
        call, backoff_config=BackoffConfig(), sleep=time.sleep, dice=Dice(0)
    )
    assert (answer, calls, time.slept) == ("done", [3], [1.0, 2.0])


async def test_it_gives_up_with_the_last_error() -> None:
    time = FakeTime()
    errors = [ModelUnavailable(str(n)) for n in range(5)]
    call, calls = failing(*errors)
    with pytest.raises(ModelUnavailable) as caught:
        await retry_with_backoff(call, max_retries=3, sleep=time.sleep)
    assert caught.value is errors[3]
    assert calls == [4]


async def test_no_retries_means_one_try() -> None:
    call, calls = failing(ModelUnavailable())
    with pytest.raises(ModelUnavailable):
        await retry_with_backoff(call, max_retries=0)
    assert calls == [1]


@pytest.mark.parametrize(
    "error",
    [
        ModelKeyInvalid(),
        ValueError("ours"),
        CircuitOpenError("x", retry_after=timedelta(seconds=1), cause=None),
    ],
)
async def test_what_would_fail_again_is_not_tried_again(error: Exception) -> None:
    call, calls = failing(error)
    with pytest.raises(type(error)):
        await retry_with_backoff(call, sleep=FakeTime().sleep)
    assert calls == [1]


async def test_the_caller_may_name_what_is_worth_a_retry() -> None:
    time = FakeTime()
    call, calls = failing(ValueError())
    await retry_with_backoff(call, retryable_exceptions=(ValueError,), sleep=time.sleep)
    assert calls == [2]


async def test_retry_after_is_the_least_wait() -> None:
    time = FakeTime()
    call, _ = failing(ModelUnavailable(retry_after=timedelta(seconds=30)))
    await retry_with_backoff(call, sleep=time.sleep, dice=Dice(0))
    assert time.slept == [30.0]


async def test_nobody_waits_past_the_deadline() -> None:
    time = FakeTime()
    call, calls = failing(ModelUnavailable(retry_after=timedelta(seconds=30)))
    with pytest.raises(ModelUnavailable):
        await retry_with_backoff(
            call, deadline=timedelta(seconds=20), sleep=time.sleep, monotonic=time.monotonic
        )
    assert (calls, time.slept) == ([1], [])


async def test_a_spent_budget_ends_the_tries() -> None:
    time = FakeTime()
    budget = RetryBudget(monotonic=time.monotonic, floor=1)
    call, calls = failing(*[ModelUnavailable()] * 3)
    with pytest.raises(ModelUnavailable):
        await retry_with_backoff(call, budget=budget, sleep=time.sleep, dice=Dice(0))
    assert calls == [2]


def test_delays_grow_to_the_cap() -> None:
    config, dice = BackoffConfig(), Dice(0)
    delays = [config.delay(retry, dice) for retry in (1, 2, 3, 6, 7, 8, 5000)]
    assert delays == [1, 2, 4, 32, 60, 60, 60]


def test_full_jitter_spreads_over_the_whole_delay() -> None:
    dice = random.Random(7)
    delays = [BackoffConfig().delay(4, dice) for _ in range(2000)]
    assert all(0 <= delay <= 8 for delay in delays)
    assert min(delays) < 0.2
    assert max(delays) > 7.8
    assert 3.7 < sum(delays) / len(delays) < 4.3


def test_those_told_the_same_wait_do_not_return_together() -> None:
    dice, told = random.Random(7), timedelta(seconds=10)
    delays = [BackoffConfig().delay(1, dice, told) for _ in range(500)]
    assert min(delays) >= 10
    assert max(delays) - min(delays) >= 3


def test_the_budget_is_a_tenth_of_the_last_minute_and_at_least_three() -> None:
    time = FakeTime()
    budget = RetryBudget(monotonic=time.monotonic)
    budget.first_attempt()
    assert [budget.take() for _ in range(4)] == [True, True, True, False]
    time.now += 61
    for _ in range(100):
        budget.first_attempt()
    assert sum(budget.take() for _ in range(50)) == 10
    time.now += 61
    assert sum(budget.take() for _ in range(50)) == 3
