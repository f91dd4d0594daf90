"""The inbox: what the outside told us is committed, byte for byte, before it is acknowledged.

Group commit: while one statement is in flight, new events wait; the next statement takes them all.
There is no timer, so a lone event waits for nobody and a burst costs one round trip.
"""

import asyncio
from collections import Counter as Counts
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from types import MappingProxyType, TracebackType
from typing import NamedTuple, Self

import asyncpg
import orjson
import structlog
from prometheus_client import Counter, Histogram

from shared.kernel.errors import Unavailable
from shared.kernel.ids import ChannelId, TenantId, new_ids
from shared.messaging.port import Queue
from shared.persistence.database import DRIVER_ERRORS, Database, SystemRole

log = structlog.get_logger()

_MAX_ROWS = 500
_MAX_BYTES = 4_000_000
_STATEMENT_SECONDS = 5.0
_LOST = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
)

BATCH_ROWS = Histogram(
    "inbox_batch_rows", "Events per statement", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500)
)
ACCEPTED = Counter("inbox_events_total", "Events that were committed", ["source"])
REFUSED = Counter("inbox_refused_total", "Events that could not be committed", ["source"])

# One statement makes rows and work: an event that is already there makes no second work, also when
# it is tried again because nobody knows whether the first commit happened. The clock is asked once,
# not by three defaults of each row.
_STORE = """
    WITH clock AS MATERIALIZED (
        SELECT platform_now() AS now
    ), given AS (
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[],
                             $6::bytea[], $7::bytea[], $8::text[])
            AS g(id, work_id, tenant_id, source, endpoint_id, body, body_sha256, headers)
    ), stored AS (
        INSERT INTO inbox_events (id, tenant_id, source, endpoint_id, body, body_sha256, headers,
                                  received_at)
        SELECT id, tenant_id, source, endpoint_id, body, body_sha256, headers::jsonb,
               (SELECT now FROM clock)
        FROM given ORDER BY body_sha256, tenant_id, endpoint_id -- no deadlock between gateways
        ON CONFLICT (tenant_id, source, endpoint_id, body_sha256) DO NOTHING
        RETURNING id, tenant_id
    )
    INSERT INTO queue_messages (id, tenant_id, queue, kind, key, available_at, created_at)
    SELECT given.work_id, stored.tenant_id, 'crm_tasks', 'inbox.' || given.source, stored.id::text,
           (SELECT now FROM clock), (SELECT now FROM clock)
    FROM stored JOIN given USING (id)
"""


class InboxUnavailable(Unavailable):
    """The event could not be stored; the sender should try again."""

    code = "inbox_unavailable"


class InboxEvent(NamedTuple):
    """One delivery as it came. ``source`` is ``waha`` or a payment provider; ``endpoint_id`` the
    channel or payment account that it was addressed to."""

    tenant_id: TenantId
    source: str
    endpoint_id: ChannelId
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})


class _Waiting(NamedTuple):
    event: InboxEvent
    stored: "asyncio.Future[None]"


class InboxWriter:
    """Commits events in groups, on a connection of its own in the role that may only insert.

    ``async with InboxWriter(database) as inbox``: leaving it stores what is still waiting.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._connection: asyncpg.Connection | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._flusher = asyncio.create_task(self._flush(), name="inbox-flusher")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing = True
        self._arrived.set()
        await self._flusher
        await self._disconnect()

    async def accept(self, event: InboxEvent) -> None:
        """Store an event and make its work; returns after the commit.

        The same body at the same endpoint again is stored already, which is just as good.

        Raises:
            InboxUnavailable: it is not stored, or nobody can tell.
        """
        if self._closing:
            raise InboxUnavailable
        waiting = _Waiting(event, self._loop.create_future())
        self._waiting.append(waiting)
        self._arrived.set()
        await waiting.stored

    async def _flush(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while batch := self._next_batch():
                await self._store_batch(batch)
            if self._closing:
                return

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and len(batch) < _MAX_ROWS:
            size += len(self._waiting[0].event.body)
            if batch and size > _MAX_BYTES:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _store_batch(self, batch: list[_Waiting]) -> None:
        BATCH_ROWS.observe(len(batch))
        failure = await self._store(batch)
        if failure is None or len(batch) == 1 or isinstance(failure, OSError):
            self._settle(batch, failure)
        else:  # one of them is at fault: only that one is refused
            for waiting in batch:
                self._settle([waiting], await self._store([waiting]))
        self._database.waker.wake(Queue.CRM_TASKS)

    async def _store(self, batch: list[_Waiting]) -> Exception | None:
        """Run the statement, twice if the connection broke: doing it again is harmless."""
        failure: Exception | None = None
        for _ in range(2):
            try:
                connection = await self._connect()
                await connection.execute(_STORE, *_columns(batch), timeout=_STATEMENT_SECONDS)
            except _LOST as error:
                failure = ConnectionError(str(error))
            except (asyncpg.PostgresError, ValueError, TypeError) as error:
                if self._connection is None or self._connection.is_closed():
                    failure = ConnectionError(str(error))
                else:
                    return error
            else:
                return None
            await self._disconnect()
        return failure

    def _settle(self, batch: list[_Waiting], failure: Exception | None) -> None:
        if failure is not None:
            log.warning("inbox_not_stored", events=len(batch), error=type(failure).__name__)
        counter = ACCEPTED if failure is None else REFUSED
        for source, count in Counts(waiting.event.source for waiting in batch).items():
            counter.labels(source).inc(count)
        for waiting in batch:
            if (
                waiting.stored.done()
            ):  # its request was cancelled; the row may be there all the same
                continue
            if failure is None:
                waiting.stored.set_result(None)
            else:
                error = InboxUnavailable()
                error.__cause__ = failure
                waiting.stored.set_exception(error)

    async def _connect(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            # never in the pool, so the role can stay for as long as the connection lives
            self._connection = await asyncpg.connect(
                self._database.dsn,
                timeout=_STATEMENT_SECONDS,
                server_settings={"role": SystemRole.INGEST.value, "application_name": "inbox"},
            )
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*DRIVER_ERRORS):
                await connection.close(timeout=1)


def _columns(batch: list[_Waiting]) -> tuple[Sequence[object], ...]:
    events = [waiting.event for waiting in batch]
    return (
        new_ids(len(events)),
        new_ids(len(events)),
        [event.tenant_id for event in events],
        [event.source for event in events],
        [event.endpoint_id for event in events],
        [event.body for event in events],
        [sha256(event.body).digest() for event in events],
        [_json(event.headers) for event in events],
    )


def _json(headers: Mapping[str, str]) -> str:
    return orjson.dumps(dict(headers)).decode().replace("\\u0000", "")
