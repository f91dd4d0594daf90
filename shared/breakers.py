"""What workers tell of their circuit breakers through the cache, and how they hear of resets.

A breaker lives in the memory of one process; this is only its picture, some seconds old at most.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import orjson

from shared.cache.port import Cache

EVERY: Final = timedelta(seconds=5)
FADES: Final = timedelta(seconds=15)
"""A worker that has said nothing for so long is not there."""
RESETS: Final = "breakers:reset"
"""The topic on which workers hear which breaker to reset."""
_PREFIX: Final = "breakers:of:"
_PATIENCE: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPicture:
    """One breaker of one worker. Counts are since the worker's start."""

    name: str
    """Provider, model and a digest of the key."""
    state: str
    """``closed``, ``open`` or ``half_open``."""
    calls: int
    failures: int
    refused: int
    """Calls that were not made because it was open."""
    opened: int
    cause: str | None
    """The code of the error that opened it."""
    retry_in_seconds: float | None
    """When it lets a probe pass."""


@dataclass(frozen=True, slots=True)
class WorkerPicture:
    worker: str
    breakers: Sequence[BreakerPicture]


@dataclass(frozen=True, slots=True)
class ResetRequest:
    id: str
    name: str | None
    """``None``: every breaker."""


async def show(cache: Cache, picture: WorkerPicture) -> None:
    """Put the worker's picture where `look` finds it."""
    told = orjson.dumps([asdict(breaker) for breaker in picture.breakers])
    await cache.set(_PREFIX + picture.worker, told, FADES)


async def look(cache: Cache) -> list[WorkerPicture]:
    """What every worker that is there has said last, by name."""
    found = await cache.entries(_PREFIX)
    return [
        WorkerPicture(
            key.removeprefix(_PREFIX), [BreakerPicture(**each) for each in orjson.loads(told)]
        )
        for key, told in sorted(found.items())
    ]


async def ask_to_reset(
    cache: Cache, name: str | None, *, patience: timedelta = _PATIENCE
) -> dict[str, int]:
    """Have the breakers of this name closed, or all.

    Returns:
        How many each worker reset, for those that answered within ``patience``. Workers that have
        no such breaker answer too, with 0.
    """
    request = ResetRequest(uuid4().hex, name)
    answers: dict[str, int] = {}
    async with cache.subscribe(_answers(request.id)) as told:
        await cache.publish(RESETS, orjson.dumps(asdict(request)))
        try:
            async with asyncio.timeout(patience.total_seconds()):
                async for message in told:
                    answer = orjson.loads(message)
                    answers[answer["worker"]] = answer["reset"]
        except TimeoutError:
            pass
    return answers


async def answer_reset(cache: Cache, request: ResetRequest, worker: str, reset: int) -> None:
    """Say that the request was heard and what came of it."""
    answer = {"worker": worker, "reset": reset}
    await cache.publish(_answers(request.id), orjson.dumps(answer))


def read_request(message: bytes) -> ResetRequest | None:
    """``None`` for what is none."""
    try:
        body: dict[str, Any] = orjson.loads(message)
        name = body["name"]
        return ResetRequest(str(body["id"]), None if name is None else str(name))
    except (ValueError, KeyError, TypeError):
        return None


def _answers(request_id: str) -> str:
    return f"{RESETS}:{request_id}"
