"""The text of a job's answer, told while it is written to whoever listens just now."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from llm_worker.application.ports.jobs import RunningJob
from llm_worker.infrastructure.llm.answers import MAX_ANSWER_CHARACTERS, strip_reasoning
from shared.cache.port import Cache
from shared.jobs import delta_news, reset_news, topic
from shared.messaging.ending import end

_PAUSE = 0.1
"""Seconds between two messages: a reader cannot tell, and a model may send a word in each."""
_OPEN_TAG = re.compile(r"<[^<>]{0,200}\Z")
"""What may yet become the tag of a thought."""


class TextDeltas:
    """Keeps the promise of `TextStream`. Reasoning is not told; a new attempt begins anew."""

    def __init__(self, cache: Cache, job: RunningJob) -> None:
        self._cache = cache
        self._topic = topic(job.tenant_id, job.id)
        self._run = job.run
        self._attempt = 0
        self._text = ""
        self._changed = asyncio.Event()

    def begin(self) -> None:
        self._attempt += 1
        self._text = ""
        self._changed.set()

    def add(self, text: str) -> None:
        """More text; what no answer may be as long as is not kept."""
        if text and len(self._text) < MAX_ANSWER_CHARACTERS:
            self._text += text[: MAX_ANSWER_CHARACTERS - len(self._text)]
            self._changed.set()

    async def tell(self) -> None:
        """Tell what is new, every tenth of a second at most, until cancelled."""
        attempt, told = 0, ""
        while True:
            await self._changed.wait()
            self._changed.clear()
            visible = strip_reasoning(_OPEN_TAG.sub("", self._text))
            if attempt != self._attempt or not visible.startswith(told):
                attempt, told = self._attempt, ""
                await self._cache.publish(self._topic, reset_news(self._run, attempt))
            if visible != told:
                new, told = visible[len(told) :], visible
                await self._cache.publish(self._topic, delta_news(self._run, attempt, new))
            await asyncio.sleep(_PAUSE)


@asynccontextmanager
async def text_deltas(cache: Cache, job: RunningJob) -> AsyncIterator[TextDeltas | None]:
    """The stream of a job that wants one, told in the background."""
    if not job.stream:
        yield None
        return
    deltas = TextDeltas(cache, job)
    telling = asyncio.create_task(deltas.tell())
    try:
        yield deltas
    finally:
        await end([telling])
