import asyncio
from datetime import timedelta

import pytest

from llm_worker.infrastructure.llm.errors import ModelUnavailable
from llm_worker.infrastructure.llm.timeout import LLMTimeoutError, with_timeout


async def test_what_is_quick_passes() -> None:
    assert await with_timeout(asyncio.sleep(0, "done"), 5) == "done"


@pytest.mark.parametrize("limit", [0.01, timedelta(seconds=0.01)])
async def test_what_is_slow_is_cancelled(limit: float | timedelta) -> None:
    cancelled = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(LLMTimeoutError) as caught:
        await with_timeout(slow(), limit, "Thinking")
    assert cancelled.is_set()
    assert caught.value.timeout_seconds == 0.01
    assert caught.value.detail == "Thinking took more than 0.01 seconds"
    assert isinstance(caught.value, ModelUnavailable)


async def test_a_timeout_from_inside_is_not_ours() -> None:
    async def impatient() -> None:
        raise TimeoutError("theirs")

    with pytest.raises(TimeoutError, match="theirs"):
        await with_timeout(impatient(), 5)


async def test_cancelling_from_outside_stays_a_cancellation() -> None:
    task = asyncio.create_task(with_timeout(asyncio.Event().wait(), 5))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
