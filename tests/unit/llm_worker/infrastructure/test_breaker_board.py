"""What a worker tells of its breakers, and how it hears that one is to be reset."""

import asyncio
from datetime import timedelta

import pytest

from llm_worker.bootstrap import open_models
from llm_worker.infrastructure.cache.breaker_board import BreakerBoard
from llm_worker.infrastructure.llm.circuit_breaker import (
    CircuitBreakerConfig,
    CircuitBreakerRegistry,
    CircuitState,
)
from llm_worker.infrastructure.llm.errors import ModelUnavailable
from shared.breakers import FADES, RESETS, ask_to_reset, look
from shared.cache.memory import MemoryCache
from shared.config.settings import LlmSettings
from tests.unit.llm_worker.infrastructure.fake_time import FakeTime

SOON = timedelta(seconds=0.2)


async def broken(circuits: CircuitBreakerRegistry, name: str) -> None:
    async def call() -> None:
        raise ModelUnavailable

    with pytest.raises(ModelUnavailable):
        await circuits.get_or_create(name).call(call)


@pytest.fixture
def circuits() -> CircuitBreakerRegistry:
    return CircuitBreakerRegistry(CircuitBreakerConfig(failure_threshold=1))


async def test_the_picture_says_how_every_breaker_stands(
    circuits: CircuitBreakerRegistry,
) -> None:
    cache = MemoryCache()
    await broken(circuits, "openai:gpt:ab")
    circuits.get_or_create("anthropic:claude:cd")
    await BreakerBoard(cache, circuits, "llm-worker").show()

    (worker,) = await look(cache)
    assert worker.worker.startswith("llm-worker@")
    closed, opened = worker.breakers
    assert (closed.name, closed.state, closed.calls) == ("anthropic:claude:cd", "closed", 0)
    assert (opened.name, opened.state) == ("openai:gpt:ab", "open")
    assert (opened.calls, opened.failures, opened.opened) == (1, 1, 1)
    assert opened.cause == "model_unavailable"
    assert opened.retry_in_seconds is not None
    assert 55 < opened.retry_in_seconds <= 60


async def test_a_worker_that_is_gone_fades(circuits: CircuitBreakerRegistry) -> None:
    time = FakeTime()
    cache = MemoryCache(now=time.monotonic)
    await BreakerBoard(cache, circuits, "llm-worker").show()
    assert len(await look(cache)) == 1
    await time.sleep(FADES.total_seconds() + 1)
    assert await look(cache) == []


async def test_a_breaker_is_reset_when_asked_and_shown_at_once(
    circuits: CircuitBreakerRegistry,
) -> None:
    cache = MemoryCache()
    await broken(circuits, "a")
    await broken(circuits, "b")
    board = BreakerBoard(cache, circuits, "llm-worker")
    async with board.kept():
        await cache.publish(RESETS, b"no request")
        assert await ask_to_reset(cache, "a", patience=SOON) == {board.worker: 1}
        assert circuits.states() == {"a": CircuitState.CLOSED, "b": CircuitState.OPEN}
        (worker,) = await look(cache)
        assert [breaker.state for breaker in worker.breakers] == ["closed", "open"]
        assert await ask_to_reset(cache, "nobody", patience=SOON) == {board.worker: 0}
        assert await ask_to_reset(cache, None, patience=SOON) == {board.worker: 2}
        assert set(circuits.states().values()) == {CircuitState.CLOSED}
    assert await ask_to_reset(cache, None, patience=SOON) == {}


async def test_the_board_is_kept_up_to_date(
    circuits: CircuitBreakerRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "llm_worker.infrastructure.cache.breaker_board.EVERY", timedelta(seconds=0.01)
    )
    cache = MemoryCache()
    async with BreakerBoard(cache, circuits, "llm-worker").kept(), asyncio.timeout(5):
        await broken(circuits, "a")
        while not (seen := await look(cache)) or not seen[0].breakers:
            await asyncio.sleep(0.01)
    assert seen[0].breakers[0].state == "open"


async def test_a_process_with_several_services_has_its_breakers_once() -> None:
    shared = CircuitBreakerRegistry()
    settings = LlmSettings(circuit_breaker_failure_threshold=2)
    async with (
        open_models(settings, allow_hosts=(), circuits=shared) as one,
        open_models(settings, allow_hosts=(), circuits=shared) as other,
    ):
        assert one.circuits is other.circuits is shared
        assert one.caller._registry is other.caller._registry
        assert shared.get_or_create("a").config.failure_threshold == 2
