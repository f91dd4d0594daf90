"""A memory of a few seconds: how often it really asks."""

import asyncio
from datetime import timedelta

import pytest

from gateway.application.recent import Recent


class Source:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.now = 0.0
        self.gate: asyncio.Event | None = None
        self.broken = False

    async def read(self, key: str) -> str | None:
        self.asked.append(key)
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            raise ConnectionError
        return None if key == "unknown" else f"{key} at {self.now}"


def recent(source: Source, *, capacity: int = 100) -> Recent[str, str | None]:
    return Recent(source.read, ttl=timedelta(seconds=10), capacity=capacity, now=lambda: source.now)


async def test_it_asks_once_within_its_time() -> None:
    source = Source()
    memory = recent(source)
    for moment in (0.0, 5.0, 9.9):
        source.now = moment
        assert await memory.get("a") == "a at 0.0"
    source.now = 10.0
    assert await memory.get("a") == "a at 10.0"
    assert source.asked == ["a", "a"]


async def test_what_does_not_exist_is_remembered_too() -> None:
    source = Source()
    memory = recent(source)
    assert [await memory.get("unknown") for _ in range(3)] == [None, None, None]
    assert source.asked == ["unknown"]


async def test_a_newer_look_is_had_at_most_once_in_its_time() -> None:
    source = Source()
    memory = recent(source)
    await memory.get("a")
    for _ in range(5):
        assert await memory.get_newer("a", timedelta(seconds=1)) == "a at 0.0"
    source.now = 1.0
    assert await memory.get_newer("a", timedelta(seconds=1)) == "a at 1.0"
    assert await memory.get("a") == "a at 1.0"
    assert source.asked == ["a", "a"]


async def test_many_who_ask_at_once_cause_one_look() -> None:
    source = Source()
    source.gate = asyncio.Event()
    memory = recent(source)
    asking = [asyncio.create_task(memory.get("a")) for _ in range(50)]
    await asyncio.sleep(0)
    source.gate.set()
    assert set(await asyncio.gather(*asking)) == {"a at 0.0"}
    assert source.asked == ["a"]


async def test_a_failed_look_is_no_answer() -> None:
    source = Source()
    memory = recent(source)
    source.broken = True
    with pytest.raises(ConnectionError):
        await memory.get("a")
    source.broken = False
    assert await memory.get("a") == "a at 0.0"


async def test_invented_keys_push_out_the_least_used() -> None:
    source = Source()
    memory = recent(source, capacity=3)
    for key in ("a", "b", "c"):
        await memory.get(key)
    await memory.get("a")
    await memory.get("d")
    source.asked.clear()
    for key in ("a", "c", "d", "b"):
        await memory.get(key)
    assert source.asked == ["b"]
