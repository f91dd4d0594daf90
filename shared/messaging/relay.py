"""The relay: gives the broker hints of rows that are due, and again when the broker lost them.

Before it publishes, a relay reserves the rows: ``published_at`` is set and ``lease_until`` runs,
but no ``lease_id`` is given, so that a hint which is quicker than the relay's own mark may already
be followed. (Of a dead holder's lease an attempt remains.) The broker's confirm turns the
reservation into the mark; a refusal takes both away; a relay that dies leaves a reservation that
runs out. Any number of relays may run.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from aio_pika.abc import AbstractChannel
from prometheus_client import Counter
from sqlalchemy import text

from shared.kernel.ids import TenantId
from shared.messaging.broker import connect, keep
from shared.messaging.delays import RUNGS, rung
from shared.messaging.ending import end
from shared.messaging.fair_pick import CLOCK, NEXT_DUE, fair_pick
from shared.messaging.port import Queue
from shared.messaging.postgres import sleep_until
from shared.messaging.topology import PATIENCE_SECONDS, Hint, declare, delay_name
from shared.messaging.waker import PostgresWaker
from shared.persistence.database import Database, SystemRole, system_transaction

WINDOW = 1000
"""Most hints of one queue that are published and not claimed: what comes later is picked later,
by then in fair order."""

_BATCH = 200
_RESERVATION = timedelta(seconds=10)
"""Twice as long as a publish may take."""
_FOLLOWED = 0.05
"""Seconds that the quickest workers get to follow a hint before the relay marks what is left: both
write to the same row, and who comes second would look again later."""
_AHEAD_SECONDS = 0.25
"""Between two looks at what is planned one rung ahead; a look covers half a second."""
_SETTLED = timedelta(seconds=1)
"""A hint younger than this may still be on its way to the broker's count."""
_FULL = 0.1
"""Seconds between two looks at a window that is full."""

HINTS = Counter("queue_hints", "Hints given to the broker", ["queue", "outcome"])
log = structlog.get_logger()

_UNPUBLISHED = (
    "q.published_at IS NULL OR q.published_at < q.available_at OR q.lease_until IS NOT NULL"
)
_PUBLISHED = """
    FROM queue_messages
    WHERE queue = :queue AND published_at IS NOT NULL AND published_at >= available_at
"""
_ROOM = f"(SELECT greatest(0, least(:batch, :window - count(*))) {_PUBLISHED})"
_COUNT_SETTLED = text(
    f"""
    SELECT count(*) {_PUBLISHED}
    AND lease_until IS NULL AND published_at <= platform_now() - CAST(:settled AS interval)
    """
)
_RESERVE = """
    UPDATE queue_messages q
    SET published_at = (SELECT now FROM clock),
        lease_until = (SELECT now FROM clock) + :reservation, lease_id = NULL,
        attempts = attempts + CASE WHEN q.lease_id IS NULL THEN 0 ELSE 1 END
    FROM locked l WHERE q.id = l.id
    RETURNING q.id, q.tenant_id, q.kind, q.lease_until, l.turn, l.tenant_rank
"""
_RESERVE_DUE = text(
    f"""
    {fair_pick(which=_UNPUBLISHED, room=_ROOM)}, reserved AS ({_RESERVE})
    SELECT r.*, (SELECT free FROM room) AS room, (SELECT count(*) FROM candidates) AS seen,
           {NEXT_DUE} AS next_due
    FROM (VALUES (1)) one LEFT JOIN reserved r ON true
    ORDER BY r.tenant_rank, r.turn
    """  # noqa: S608 - constants
)
_RESERVE_AGAIN = text(
    f"""
    WITH {CLOCK}, locked AS MATERIALIZED (
        SELECT q.id, 0 AS turn, 0 AS tenant_rank FROM queue_messages q
        WHERE q.queue = :queue AND q.lease_until IS NULL AND q.published_at >= q.available_at
          AND q.published_at <= (SELECT now FROM clock) - CAST(:settled AS interval)
        ORDER BY q.published_at LIMIT :limit
        FOR UPDATE OF q SKIP LOCKED
    ) {_RESERVE}
    """  # noqa: S608 - constants
)
_RESERVED = "id = ANY(:ids) AND lease_id IS NULL AND lease_until = :reserved_until"
_CONFIRM = text(f"UPDATE queue_messages SET lease_until = NULL WHERE {_RESERVED}")  # noqa: S608
_WITHDRAW = text(
    f"UPDATE queue_messages SET lease_until = NULL, published_at = NULL WHERE {_RESERVED}"  # noqa: S608
)
_AHEAD = text(
    """
    UPDATE queue_messages q SET published_at = platform_now()
    WHERE q.id IN (
        SELECT f.id FROM queue_messages f, unnest(CAST(:rungs AS interval[])) AS step
        WHERE f.queue = :queue AND f.published_at IS NULL AND f.lease_until IS NULL
          AND f.available_at > platform_now() + step - interval '0.5 seconds'
          AND f.available_at <= platform_now() + step
        LIMIT :limit FOR UPDATE OF f SKIP LOCKED)
    RETURNING q.id, q.tenant_id, q.kind, q.available_at - q.published_at AS delay
    """
)
"""Rows just planned one rung ahead. Marked before they are due, so they do not count as published
when they are."""


@dataclass(frozen=True, slots=True)
class _Reserved:
    hints: Sequence[Hint]
    until: datetime | None
    pause: float = 0
    """Seconds after which another look is worth it."""


class Relay:
    """Publishes the hints of one queue."""

    def __init__(
        self,
        database: Database,
        waker: PostgresWaker,
        queue: Queue,
        *,
        url: str,
        name: str,
        poll: timedelta,
        sweep: timedelta,
        window: int,
        rng: random.Random,
    ) -> None:
        self._database = database
        self._waker = waker
        self._queue = queue
        self._url = url
        self._name = name
        self._poll = poll
        self._sweep = sweep
        self._window = window
        self._rng = rng
        self._served = UUID(int=0)

    async def run(self) -> None:
        """Relay and sweep, until cancelled."""
        await keep(self._session, name=f"relay of {self._name}", rng=self._rng)

    async def _session(self) -> None:
        """A refused publish ends it: the next session declares what may be missing."""
        async with connect(self._url) as connection:
            channel = await connection.channel(on_return_raises=True)
            await self.sweep(channel)
            works = (
                self.keep_relaying(channel),
                _every(self._sweep.total_seconds(), lambda: self.sweep(channel)),
                _every(_AHEAD_SECONDS, lambda: self.hint_ahead(channel)),
            )
            running = [asyncio.create_task(work) for work in works]
            try:
                ended, _ = await asyncio.wait(running, return_when="FIRST_COMPLETED")
                await next(iter(ended))
            finally:
                await end(running)

    async def keep_relaying(self, channel: AbstractChannel) -> None:
        """Reserve the next hints while the broker still confirms the last ones."""
        woken = self._waker.subscribe(self._queue)
        publishing: list[asyncio.Task[None]] = []
        try:
            while True:
                woken.clear()
                for task in [task for task in publishing if task.done()]:
                    publishing.remove(task)
                    await task
                reserved = await self._reserve()
                if reserved.hints:
                    publishing.append(
                        asyncio.create_task(self._publish_next(channel, reserved, woken))
                    )
                await sleep_until(woken, reserved.pause)
        finally:
            if publishing:  # they give back what the broker did not take
                await asyncio.wait(publishing, timeout=PATIENCE_SECONDS)
            await end(publishing)
            await asyncio.gather(*publishing, return_exceptions=True)  # each has said so itself

    async def _publish_next(
        self, channel: AbstractChannel, reserved: _Reserved, woken: asyncio.Event
    ) -> None:
        try:
            await self._publish(channel, reserved, "published")
        except Exception:
            woken.set()  # whoever reserves shall hear of it now
            raise

    async def relay(self, channel: AbstractChannel) -> float:
        """Publish the hints whose turn it is; answer after how many seconds to look again.

        Raises:
            PublishError: the broker has no such queue; the rows are due as before.
        """
        reserved = await self._reserve()
        await self._publish(channel, reserved, "published")
        return reserved.pause

    async def _reserve(self) -> _Reserved:
        """Take what fits into the window, fair over the tenants."""
        # two relays together keep one window
        lock = f"SELECT pg_advisory_xact_lock(hashtext('queue window'), hashtext('{self._queue}'))"
        parameters = {
            "queue": self._queue.value,
            "batch": _BATCH,
            "window": self._window,
            "served": self._served,
            "reservation": _RESERVATION,
        }
        async with system_transaction(self._database, SystemRole.RELAY, lock) as connection:
            rows = (await connection.execute(_RESERVE_DUE, parameters)).all()
        if rows[0].room == 0:
            return _Reserved((), None, _FULL)
        found = [row for row in rows if row.id is not None]
        if not found:
            contended = rows[0].seen > 0
            longest = _FULL if contended else self._poll.total_seconds()
            pause = min(longest, (rows[0].next_due or self._poll).total_seconds())
            return _Reserved((), None, pause)
        self._served = found[-1].tenant_id
        return _Reserved([_hint(row) for row in found], found[0].lease_until)

    async def sweep(self, channel: AbstractChannel) -> None:
        """Give the broker again what it should hold and does not, the oldest first.

        Queues that are missing are declared. The broker's count leaves out what consumers have in
        hand, so some hints are doubled; no more than fill up its count, hence not more each time.
        """
        declared = (await declare(channel, self._name)).declaration_result
        ready = declared.message_count or 0
        async with system_transaction(self._database, SystemRole.RELAY) as connection:
            parameters: dict[str, Any] = {"queue": self._queue.value, "settled": _SETTLED}
            settled = (await connection.execute(_COUNT_SETTLED, parameters)).scalar_one()
        missing = settled - ready
        while missing > 0:
            limit = {"limit": min(_BATCH, missing), "reservation": _RESERVATION}
            async with system_transaction(self._database, SystemRole.RELAY) as connection:
                rows = (await connection.execute(_RESERVE_AGAIN, parameters | limit)).all()
            if not rows:
                return
            log.info("hints_republished", queue=self._queue.value, count=len(rows))
            again = _Reserved([_hint(row) for row in rows], rows[0].lease_until)
            await self._publish(channel, again, "republished")
            missing -= len(rows)

    async def _publish(self, channel: AbstractChannel, reserved: _Reserved, outcome: str) -> None:
        """Publish and mark what was confirmed; give back the rest and raise why it failed."""
        hints = reserved.hints
        ends = await asyncio.gather(
            *(self._send(channel, hint, self._name) for hint in hints), return_exceptions=True
        )
        failed = {
            hint.id: error for hint, error in zip(hints, ends, strict=True) if error is not None
        }
        await self._mark(_WITHDRAW, list(failed), reserved.until)
        if len(failed) < len(hints):
            await asyncio.sleep(_FOLLOWED)
        confirmed = [hint.id for hint in hints if hint.id not in failed]
        await self._mark(_CONFIRM, confirmed, reserved.until)
        HINTS.labels(self._queue.value, outcome).inc(len(confirmed))
        if failed:
            HINTS.labels(self._queue.value, "failed").inc(len(failed))
            error = next(iter(failed.values()))
            log.error("hints_not_published", error=type(error).__name__, count=len(failed))
            raise error

    async def _mark(self, statement: Any, ids: list[UUID], until: datetime | None) -> None:
        if ids:
            async with system_transaction(self._database, SystemRole.RELAY) as connection:
                await connection.execute(statement, {"ids": ids, "reserved_until": until})

    async def hint_ahead(self, channel: AbstractChannel) -> None:
        """Send the hints of rows planned one rung ahead up the ladder. Losing one is harmless."""
        parameters = {"queue": self._queue.value, "rungs": list(RUNGS), "limit": _BATCH}
        async with system_transaction(self._database, SystemRole.RELAY) as connection:
            rows = (await connection.execute(_AHEAD, parameters)).all()
        names = [delay_name(self._name, rung(row.delay)) for row in rows]
        await asyncio.gather(
            *(self._send(channel, _hint(row), name) for row, name in zip(rows, names, strict=True)),
            return_exceptions=True,
        )

    async def _send(self, channel: AbstractChannel, hint: Hint, name: str) -> None:
        await channel.default_exchange.publish(
            hint.message(), name, mandatory=True, timeout=PATIENCE_SECONDS
        )


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await work()


def _hint(row: Any) -> Hint:
    return Hint(kind=row.kind, tenant_id=TenantId(row.tenant_id), id=row.id)
