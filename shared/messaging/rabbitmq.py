"""The task queue whose hints go over RabbitMQ. The rows in PostgreSQL stay the work."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from aio_pika.abc import AbstractIncomingMessage

from shared.config.settings import QueueSettings
from shared.messaging.ending import end
from shared.messaging.hints import HintConsumer
from shared.messaging.port import Claim, GiveUp, Queue
from shared.messaging.postgres import CONTENTION
from shared.messaging.relay import WINDOW, Relay
from shared.messaging.rows import QueueRows
from shared.messaging.topology import queue_name, row_id
from shared.messaging.waker import PostgresWaker
from shared.persistence.database import Database

_LOOKS = 3
"""At rows that somebody is writing to, before others have their turn."""


@dataclass(frozen=True, slots=True)
class _Line:
    consumer: HintConsumer
    tasks: Sequence[asyncio.Task[None]]


class RabbitTaskQueue:
    """Claims the rows that hints name. A queue's relay and consumer start with the first claim on
    it: who does not work on a queue holds none of its hints."""

    def __init__(
        self,
        settings: QueueSettings,
        database: Database,
        waker: PostgresWaker,
        *,
        window: int = WINDOW,
        rng: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._waker = waker
        self._window = window
        self._rng = rng or random.Random()
        self._rows = QueueRows(database, settings.queue_lease_seconds)
        self._lines: dict[Queue, _Line] = {}

    async def claim(
        self, queue: Queue, limit: int, *, wait: timedelta, attempts_below: int | None = None
    ) -> Sequence[Claim]:
        consumer = self._line(queue).consumer
        loop = asyncio.get_running_loop()
        end = loop.time() + wait.total_seconds()
        while True:
            hints = await consumer.take(limit, max(0, end - loop.time()))
            if not hints:
                return ()
            claims = await self._follow(queue, consumer, hints, attempts_below)
            if claims or loop.time() >= end:
                return claims

    async def _follow(
        self,
        queue: Queue,
        consumer: HintConsumer,
        hints: Sequence[AbstractIncomingMessage],
        attempts_below: int | None,
    ) -> Sequence[Claim]:
        """Claim what the hints name. Hints of rows that somebody is writing to, such as the relay
        that marks them as published, are kept and followed a moment later."""
        named = {hint: row_id(hint.body) for hint in hints}
        ids = [found for found in named.values() if found is not None]
        try:
            for _ in range(_LOOKS):
                picked = await self._rows.claim_named(queue, ids, attempts_below)
                if picked.claims or not picked.contended:
                    break
                await asyncio.sleep(self._rng.uniform(0, CONTENTION.total_seconds()))
        except BaseException:
            consumer.put_back(hints)
            raise
        claimed = {claim.id for claim in picked.claims}
        kept = [hint for hint in hints if picked.contended and named[hint] not in claimed]
        await consumer.acknowledge([hint for hint in hints if hint not in kept])
        consumer.put_back(kept, last=not claimed)
        return picked.claims

    async def renew(self, claims: Sequence[Claim]) -> None:
        await self._rows.renew(claims)

    async def release(self, claim: Claim, *, delay: timedelta = timedelta(0)) -> None:
        await self._rows.release(claim, delay)

    async def retry(self, claim: Claim, *, delay: timedelta) -> None:
        await self._rows.retry(claim, delay)

    async def set_aside(self, claim: Claim, *, delay: timedelta) -> None:
        await self._rows.set_aside(claim, delay)

    async def dead_letter(
        self, claim: Claim, *, code: str, detail: str, give_up: GiveUp | None
    ) -> None:
        await self._rows.dead_letter(claim, code, detail, give_up)

    def _line(self, queue: Queue) -> _Line:
        if queue not in self._lines:
            self._lines[queue] = self._open_line(queue)
        return self._lines[queue]

    def _open_line(self, queue: Queue) -> _Line:
        assert self._settings.rabbitmq_url is not None
        url = self._settings.rabbitmq_url.get_secret_value()
        name = queue_name(self._settings, queue)
        # enough in hand to fill every slot twice, and no more: the rest stays fair game for others
        prefetch = 2 * self._settings.worker_concurrency
        consumer = HintConsumer(url, name, prefetch=prefetch, rng=self._rng)
        relay = Relay(
            self._database,
            self._waker,
            queue,
            url=url,
            name=name,
            poll=self._settings.queue_poll_seconds,
            sweep=self._settings.queue_sweep_seconds,
            window=self._window,
            rng=self._rng,
        )
        running = (consumer.run(), relay.run())
        return _Line(consumer, [asyncio.create_task(each) for each in running])

    async def close(self) -> None:
        """End relays and consumers; hints in hand go back to the broker."""
        await end(task for line in self._lines.values() for task in line.tasks)


@asynccontextmanager
async def open_rabbit_queue(
    settings: QueueSettings, database: Database, waker: PostgresWaker, *, window: int = WINDOW
) -> AsyncIterator[RabbitTaskQueue]:
    """The broker need not be there: connections are kept in the background."""
    queue = RabbitTaskQueue(settings, database, waker, window=window)
    try:
        yield queue
    finally:
        await queue.close()
