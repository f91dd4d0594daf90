import asyncio
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from llm_worker.infrastructure.llm.circuit_breaker import (
    CircuitBreaker,
    CircuitBreakerConfig,
    CircuitBreakerRegistry,
    CircuitOpenError,
    CircuitState,
)
from llm_worker.infrastructure.llm.errors import (
    ModelCallFailed,
    ModelKeyInvalid,
    ModelQuotaSpent,
    ModelRefused,
    ModelRequestInvalid,
    ModelUnavailable,
)
from llm_worker.infrastructure.llm.timeout import DeadlinePassed, LLMTimeoutError
from tests.unit.llm_worker.infrastructure.fake_time import FakeTime

CONFIG = CircuitBreakerConfig(failure_threshold=3, success_threshold=2, timeout_seconds=60)


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def breaker(time: FakeTime) -> CircuitBreaker:
    return CircuitBreaker("test", CONFIG, monotonic=time.monotonic)


async def fail(breaker: CircuitBreaker, error: BaseException, times: int = 1) -> None:
    async def call() -> None:
        raise error

    for _ in range(times):
        with pytest.raises(type(error)):
            await breaker.call(call)


async def succeed(breaker: CircuitBreaker) -> str:
    async def call() -> str:
        return "done"

    return await breaker.call(call)


async def test_it_opens_after_failures_in_a_row(breaker: CircuitBreaker) -> None:
    await fail(breaker, ModelUnavailable(), 2)
    assert breaker.state is CircuitState.CLOSED
    await succeed(breaker)
    await fail(breaker, ModelUnavailable(), 2)
    assert breaker.state is CircuitState.CLOSED
    await fail(breaker, LLMTimeoutError(1))
    assert breaker.state is CircuitState.OPEN


async def test_open_means_that_nothing_is_called(breaker: CircuitBreaker, time: FakeTime) -> None:
    await fail(breaker, ModelUnavailable(), 3)
    called = False

    async def call() -> None:
        nonlocal called
        called = True

    time.now += 10
    with pytest.raises(CircuitOpenError) as caught:
        await breaker.call(call)
    assert not called
    assert caught.value.retry_after == timedelta(seconds=50)
    assert caught.value.cause == "model_unavailable"


async def test_probes_close_it_again(breaker: CircuitBreaker, time: FakeTime) -> None:
    await fail(breaker, ModelUnavailable(), 3)
    time.now += 60
    assert breaker.state is CircuitState.HALF_OPEN
    await succeed(breaker)
    assert breaker.state is CircuitState.HALF_OPEN
    await succeed(breaker)
    assert breaker.state is CircuitState.CLOSED


async def test_a_failed_probe_opens_it_for_as_long_again(
    breaker: CircuitBreaker, time: FakeTime
) -> None:
    await fail(breaker, ModelUnavailable(), 3)
    time.now += 60
    await succeed(breaker)
    await fail(breaker, ModelUnavailable())
    assert breaker.state is CircuitState.OPEN
    time.now += 59
    assert breaker.state is CircuitState.OPEN
    time.now += 1
    await succeed(breaker)
    assert breaker.state is CircuitState.HALF_OPEN


async def test_one_probe_at_a_time(breaker: CircuitBreaker, time: FakeTime) -> None:
    await fail(breaker, ModelUnavailable(), 3)
    time.now += 60
    answered = asyncio.Event()

    async def probe() -> str:
        await answered.wait()
        return "back"

    task = asyncio.create_task(breaker.call(probe))
    await asyncio.sleep(0)
    with pytest.raises(CircuitOpenError):
        await succeed(breaker)
    answered.set()
    assert await task == "back"
    assert await succeed(breaker) == "done"


async def test_a_cancelled_call_is_no_failure_and_frees_the_probe(
    breaker: CircuitBreaker, time: FakeTime
) -> None:
    await fail(breaker, asyncio.CancelledError(), 10)
    assert breaker.state is CircuitState.CLOSED
    await fail(breaker, ModelUnavailable(), 3)
    time.now += 60
    await fail(breaker, asyncio.CancelledError())
    assert breaker.state is CircuitState.HALF_OPEN
    await succeed(breaker)
    await succeed(breaker)
    assert breaker.state is CircuitState.CLOSED


@pytest.mark.parametrize("error", [ModelKeyInvalid(), ModelQuotaSpent()])
async def test_a_refused_key_opens_at_once(breaker: CircuitBreaker, error: Exception) -> None:
    await fail(breaker, error)
    with pytest.raises(CircuitOpenError) as caught:
        await succeed(breaker)
    assert caught.value.cause == error.code  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "error",
    [ModelRefused(), ModelRequestInvalid(), ModelCallFailed(), DeadlinePassed(1), KeyError("bug")],
)
async def test_what_says_nothing_against_the_provider_is_not_counted(
    breaker: CircuitBreaker, error: Exception
) -> None:
    await fail(breaker, error, 10)
    assert breaker.state is CircuitState.CLOSED


async def test_an_answer_that_is_an_error_proves_that_the_provider_is_back(
    breaker: CircuitBreaker, time: FakeTime
) -> None:
    await fail(breaker, ModelUnavailable(), 3)
    time.now += 60
    await fail(breaker, ModelRefused(), 2)
    assert breaker.state is CircuitState.CLOSED


async def test_errors_of_libraries_are_read(breaker: CircuitBreaker) -> None:
    await fail(breaker, TimeoutError(), 3)
    assert breaker.state is CircuitState.OPEN


async def test_retry_after_keeps_it_open_longer(breaker: CircuitBreaker, time: FakeTime) -> None:
    await fail(breaker, ModelUnavailable(retry_after=timedelta(minutes=5)), 3)
    time.now += 299
    assert breaker.state is CircuitState.OPEN
    time.now += 1
    assert breaker.state is CircuitState.HALF_OPEN


async def test_calls_from_before_the_opening_change_nothing(
    breaker: CircuitBreaker, time: FakeTime
) -> None:
    release = asyncio.Event()

    async def slow(error: Exception | None) -> None:
        await release.wait()
        if error is not None:
            raise error

    old = [asyncio.create_task(breaker.call(lambda: slow(None))) for _ in range(3)]
    late = asyncio.create_task(breaker.call(lambda: slow(ModelUnavailable())))
    await asyncio.sleep(0)
    await fail(breaker, ModelUnavailable(), 3)
    time.now += 60
    await succeed(breaker)  # half open now
    release.set()
    await asyncio.gather(*old, late, return_exceptions=True)
    assert breaker.state is CircuitState.HALF_OPEN


async def test_a_registry_hands_out_one_breaker_per_name() -> None:
    registry = CircuitBreakerRegistry(CONFIG)
    one = registry.get_or_create("one")
    assert registry.get_or_create("one") is one
    assert registry.get_or_create("two") is not one
    other = CircuitBreakerConfig(failure_threshold=1)
    assert registry.get_or_create("three", other).config is other
    await fail(one, ModelUnavailable(), 3)
    assert registry.states() == {
        "one": CircuitState.OPEN,
        "two": CircuitState.CLOSED,
        "three": CircuitState.CLOSED,
    }


async def test_a_full_registry_forgets_the_one_unused_for_longest() -> None:
    registry = CircuitBreakerRegistry(CONFIG, capacity=2)
    first = registry.get_or_create("first")
    registry.get_or_create("second")
    registry.get_or_create("first")
    registry.get_or_create("third")
    assert list(registry.states()) == ["first", "third"]
    assert registry.get_or_create("first") is first
    assert REGISTRY.get_sample_value("llm_circuit_state", {"circuit": "second"}) is None


async def test_the_gauge_shows_the_state(time: FakeTime) -> None:
    breaker = CircuitBreaker("gauge", CONFIG, monotonic=time.monotonic)

    def shown() -> float | None:
        return REGISTRY.get_sample_value("llm_circuit_state", {"circuit": "gauge"})

    assert shown() == 0
    await fail(breaker, ModelUnavailable(), 3)
    assert shown() == 2
    time.now += 60
    await succeed(breaker)
    assert shown() == 1
    await succeed(breaker)
    assert shown() == 0


async def test_its_statistics_count_what_was_called_and_what_was_refused(
    breaker: CircuitBreaker, time: FakeTime
) -> None:
    await succeed(breaker)
    await fail(breaker, ModelUnavailable(), 3)
    for _ in range(2):
        with pytest.raises(CircuitOpenError):
            await succeed(breaker)
    time.now += 20

    seen = breaker.statistics()

    assert (seen.name, seen.state) == ("test", CircuitState.OPEN)
    assert (seen.calls, seen.failures, seen.refused, seen.opened) == (4, 3, 2, 1)
    assert (seen.cause, seen.retry_in) == ("model_unavailable", timedelta(seconds=40))


async def test_a_reset_closes_it_and_forgets_calls_under_way(breaker: CircuitBreaker) -> None:
    going_on, answer = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        going_on.set()
        await answer.wait()
        raise ModelUnavailable

    call = asyncio.create_task(breaker.call(slow))
    await going_on.wait()
    await fail(breaker, ModelUnavailable(), 3)

    breaker.reset()

    seen = breaker.statistics()
    assert (seen.state, seen.cause, seen.retry_in) == (CircuitState.CLOSED, None, None)
    answer.set()
    with pytest.raises(ModelUnavailable):
        await call
    await fail(breaker, ModelUnavailable(), 2)
    assert breaker.state is CircuitState.CLOSED


async def test_a_registry_resets_one_or_all() -> None:
    registry = CircuitBreakerRegistry(CircuitBreakerConfig(failure_threshold=1))
    for name in ("b", "a"):
        await fail(registry.get_or_create(name), ModelUnavailable())
    assert [seen.name for seen in registry.statistics()] == ["a", "b"]
    assert registry.reset("nobody") == 0
    assert registry.reset("a") == 1
    assert registry.states() == {"b": CircuitState.OPEN, "a": CircuitState.CLOSED}
    assert registry.reset() == 2
    assert registry.states() == {"b": CircuitState.CLOSED, "a": CircuitState.CLOSED}
