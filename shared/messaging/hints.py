"""The consuming end: hints arrive, are held in hand until their rows are claimed, and acknowledged.

A hint is acknowledged as soon as the claim it led to is committed, or found impossible. From then
on the row's lease stands for it: were the hint kept until the work is done, a lost connection would
bring back only hints for rows that are still leased, and long work would run into the broker's
delivery timeout.
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from shared.messaging.broker import BROKER_ERRORS, SessionLost, connect, keep
from shared.messaging.postgres import sleep_until
from shared.messaging.topology import PATIENCE_SECONDS, declare

_CHECK_SECONDS = 3.0
"""How often we ask the broker whether it still counts us among the queue's consumers."""
_DELETION_SECONDS = 15.0
"""The broker itself waits five for the queue's leader before it deletes without."""

log = structlog.get_logger()


class HintConsumer:
    """Holds one consumer on one queue and at most ``prefetch`` hints in hand."""

    def __init__(self, url: str, name: str, *, prefetch: int, rng: random.Random) -> None:
        self._url = url
        self._name = name
        self._prefetch = prefetch
        self._rng = rng
        self._hints: deque[AbstractIncomingMessage] = deque()
        self._arrived = asyncio.Event()

    async def run(self) -> None:
        """Keep consuming, until cancelled."""
        await keep(self._session, name=f"hints of {self._name}", rng=self._rng)

    async def take(self, limit: int, longest: float) -> Sequence[AbstractIncomingMessage]:
        """Up to ``limit`` hints; waits up to ``longest`` seconds for the first."""
        if not self._hints and longest > 0:
            self._arrived.clear()
            await sleep_until(self._arrived, longest)
        return [self._hints.popleft() for _ in range(min(limit, len(self._hints)))]

    def put_back(self, hints: Sequence[AbstractIncomingMessage], *, last: bool = False) -> None:
        """Keep hints that could not be followed now, for the next who takes; or, as the ``last``,
        for when the others have been followed."""
        open_hints = [hint for hint in hints if not hint.channel.is_closed]
        if last:
            self._hints.extend(open_hints)
        else:
            self._hints.extendleft(reversed(open_hints))
        self._arrived.set()

    async def acknowledge(self, hints: Sequence[AbstractIncomingMessage]) -> None:
        """Let the broker forget them. If it cannot hear us they come again, which is harmless."""
        for hint in hints:
            with suppress(*BROKER_ERRORS):
                await hint.ack()

    async def _session(self) -> None:
        async with connect(self._url) as connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=self._prefetch, timeout=PATIENCE_SECONDS)
            queue = await declare(channel, self._name)
            lost = asyncio.Event()
            channel.close_callbacks.add(lambda *_: lost.set())
            underlay: Any = await channel.get_underlay_channel()
            underlay.on_consumer_cancel_callbacks.add(lambda _: lost.set())
            try:
                await self._attach(queue)
                await self._watch(channel, lost)
            finally:
                self._hints.clear()  # their channel ends, so they come again

    async def _attach(self, queue: AbstractQueue) -> None:
        """Consume; a queue that is there and does not answer is deleted, for the next session to
        declare anew: a crash can leave a queue without a leader, and then it never gets one."""
        try:
            await queue.consume(self._on_hint, timeout=PATIENCE_SECONDS)
        except TimeoutError:
            await self._delete_queue()
            raise
        log.info("consumer_attached", queue=self._name)

    async def _delete_queue(self) -> None:
        """Unless others consume it; its hints are given again by the sweep."""
        async with connect(self._url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(self._name, passive=True, timeout=PATIENCE_SECONDS)
            if not queue.declaration_result.consumer_count:
                log.error("queue_without_answer_deleted", queue=self._name)
                await channel.queue_delete(self._name, timeout=_DELETION_SECONDS)

    async def _watch(self, channel: AbstractChannel, lost: asyncio.Event) -> None:
        """Raise when our consumer is no longer there."""
        while True:
            await sleep_until(lost, _CHECK_SECONDS)
            if lost.is_set():
                raise SessionLost("the channel closed or the broker cancelled the consumer")
            queue = await channel.declare_queue(self._name, passive=True, timeout=PATIENCE_SECONDS)
            if not queue.declaration_result.consumer_count:
                raise SessionLost("the broker counts no consumer")

    async def _on_hint(self, hint: AbstractIncomingMessage) -> None:
        self._hints.append(hint)
        self._arrived.set()
