"""One deadline around a call, whatever it does inside."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar

from llm_worker.infrastructure.llm.errors import ModelUnavailable

T = TypeVar("T")


class LLMTimeoutError(ModelUnavailable):
    """The model took too long; trying again may work."""

    code = "model_timeout"

    def __init__(self, timeout_seconds: float, operation: str = "LLM call") -> None:
        super().__init__(f"{operation} took more than {timeout_seconds:g} seconds")
        self.timeout_seconds = timeout_seconds
        self.operation = operation


class DeadlinePassed(LLMTimeoutError):
    """Our own time ran out before the model had a fair chance to answer."""

    code = "model_deadline_passed"
    blames_provider = False


async def with_timeout(
    coro: Awaitable[T], timeout_seconds: float | timedelta, operation: str = "LLM call"
) -> T:
    """Await ``coro`` for at most that long, counted over the whole call.

    Streams that are read inside are under the same deadline: a byte a second keeps nothing alive.
    A timeout that ``coro`` raises by itself passes unchanged.

    Raises:
        LLMTimeoutError: the deadline passed; ``coro`` has been cancelled.
    """
    if isinstance(timeout_seconds, timedelta):
        timeout_seconds = timeout_seconds.total_seconds()
    try:
        async with asyncio.timeout(timeout_seconds) as deadline:
            return await coro
    except TimeoutError as error:
        if deadline.expired():
            raise LLMTimeoutError(timeout_seconds, operation) from error
        raise
