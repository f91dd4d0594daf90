"""The text of an answer, told while it is written."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import orjson
import pytest

from llm_worker.application.ports.jobs import RunningJob
from llm_worker.infrastructure.cache import text_deltas as module
from llm_worker.infrastructure.cache.text_deltas import TextDeltas, text_deltas
from llm_worker.infrastructure.llm.answers import MAX_ANSWER_CHARACTERS
from shared.cache.memory import MemoryCache
from shared.jobs import topic
from shared.kernel.ids import TenantId


def a_job(*, stream: bool = True) -> RunningJob:
    return RunningJob(
        id=uuid4(),
        tenant_id=TenantId(uuid4()),
        run=3,
        prompt="?",
        config_name="x",
        template_name="x",
        is_multi=False,
        context={},
        variables={},
        needs_moderation=False,
        stream=stream,
        priority=0,
        retry_count=0,
        max_retries=3,
        left=timedelta(minutes=1),
    )


class Listener:
    """Who watches the job: the news in their order, and the text as a screen would show it."""

    def __init__(self, deltas: TextDeltas, news: AsyncIterator[bytes]) -> None:
        self.deltas = deltas
        self._news = news

    async def hears(self, count: int) -> list[object]:
        """The next messages: a delta's text, or the attempt that a reset begins."""
        heard: list[object] = []
        async with asyncio.timeout(5):
            for _ in range(count):
                told = orjson.loads(await anext(self._news))
                assert told["run"] == 3
                heard.append(told["text"] if told["type"] == "delta" else told["attempt"])
        return heard


@pytest.fixture
async def listener(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listener]:
    monkeypatch.setattr(module, "_PAUSE", 0)
    cache, job = MemoryCache(), a_job()
    async with (
        cache.subscribe(topic(job.tenant_id, job.id)) as news,
        text_deltas(cache, job) as deltas,
    ):
        assert deltas is not None
        yield Listener(deltas, aiter(news))


async def test_text_is_told_as_it_comes(listener: Listener) -> None:
    listener.deltas.begin()
    assert await listener.hears(1) == [1]
    for piece in ("Kopi", " dari", " luwak."):
        listener.deltas.add(piece)
        assert await listener.hears(1) == [piece]


async def test_a_new_attempt_makes_the_text_before_it_void(listener: Listener) -> None:
    listener.deltas.begin()
    listener.deltas.add("Kopi")
    assert await listener.hears(2) == [1, "Kopi"]
    listener.deltas.begin()
    listener.deltas.add("Kopi dari luwak.")
    assert await listener.hears(2) == [2, "Kopi dari luwak."]


async def test_thoughts_are_not_told_however_their_tags_are_cut(listener: Listener) -> None:
    listener.deltas.begin()
    assert await listener.hears(1) == [1]
    for piece in ("<th", "ink>rahasia", " besar</th", "ink>"):
        listener.deltas.add(piece)
        await asyncio.sleep(0.01)
    listener.deltas.add("Ini: 1 ")
    assert await listener.hears(1) == ["Ini: 1"]
    listener.deltas.add("< 2.")
    await asyncio.sleep(0.01)
    listener.deltas.add(" <b>Ya</b>.")
    assert "".join(map(str, await listener.hears(1))).endswith("<b>Ya</b>.")


async def test_what_turns_out_to_have_been_a_thought_is_taken_back(listener: Listener) -> None:
    listener.deltas.begin()
    listener.deltas.add("rahasia")
    assert await listener.hears(2) == [1, "rahasia"]
    listener.deltas.add("</think>Kopi.")
    assert await listener.hears(2) == [1, "Kopi."]


async def test_an_answer_without_end_is_not_kept(listener: Listener) -> None:
    listener.deltas.begin()
    for _ in range(30):
        listener.deltas.add("x" * 10_000)
    _, text = await listener.hears(2)
    assert len(str(text)) == MAX_ANSWER_CHARACTERS


async def test_a_job_that_wants_no_text_gets_no_stream() -> None:
    async with text_deltas(MemoryCache(), a_job(stream=False)) as deltas:
        assert deltas is None
