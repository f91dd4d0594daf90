"""Wake-ups between processes: ``NOTIFY`` after a commit, ``LISTEN`` beside the pool.

A wake-up carries no work and may be lost: whoever waits for one also looks once a second. So
nothing here ever blocks or fails the one who wakes.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from weakref import WeakSet

import asyncpg
import structlog
from sqlalchemy.engine import make_url

from shared.config.settings import DatabaseSettings
from shared.messaging.ending import end
from shared.messaging.port import Queue
from shared.persistence.database import DRIVER_ERRORS, DatabaseUnavailable

_CHANNEL = "platform_queue"
_PAUSE = timedelta(milliseconds=4)
"""Least time between two notifications of one queue."""
_RECONNECT = timedelta(seconds=1)
_CHECK = timedelta(seconds=30)
"""How often a silent connection is asked whether it still lives."""
_PATIENCE = timedelta(seconds=5)

log = structlog.get_logger()
Sleep = Callable[[float], Awaitable[None]]


class PostgresWaker:
    """Sends and receives wake-ups over one raw connection of its own."""

    def __init__(self, dsn: str, *, sleep: Sleep = asyncio.sleep) -> None:
        self._dsn = dsn
        self._sleep = sleep
        self._pending: set[Queue] = set()
        self._wanted = asyncio.Event()
        self._sleepers: dict[Queue, WeakSet[asyncio.Event]] = {name: WeakSet() for name in Queue}
        self.listening = asyncio.Event()
        """Set while notifications of other processes arrive."""

    def wake(self, queue: Queue) -> None:
        """Wake whoever waits for this queue, here at once and elsewhere within milliseconds."""
        self._rouse(queue)
        self._pending.add(queue)
        self._wanted.set()

    def subscribe(self, queue: Queue) -> asyncio.Event:
        """An event of the caller's own, set with each wake-up; forgotten when it is dropped."""
        event = asyncio.Event()
        self._sleepers[queue].add(event)
        return event

    async def run(self) -> None:
        """Keep a connection and carry wake-ups over it, until cancelled."""
        while True:
            try:
                await self._connected()
            except DRIVER_ERRORS as error:
                log.warning("waker_disconnected", error=type(error).__name__)
            self.listening.clear()
            await self._sleep(_RECONNECT.total_seconds())

    async def _connected(self) -> None:
        timeout = _PATIENCE.total_seconds()
        connection = await asyncpg.connect(self._dsn, timeout=timeout, command_timeout=timeout)
        try:
            connection.add_termination_listener(lambda _: self._wanted.set())
            await connection.add_listener(_CHANNEL, self._on_notification)
            self.listening.set()
            for queue in Queue:  # what was said while nobody listened
                self._rouse(queue)
            while True:
                await self._carry(connection)
        finally:
            connection.terminate()

    async def _carry(self, connection: asyncpg.Connection) -> None:
        try:
            # not wait_for: until Python 3.12 it forgets a cancellation that meets the event
            async with asyncio.timeout(_CHECK.total_seconds()):
                await self._wanted.wait()
        except TimeoutError:
            await connection.execute("SELECT 1")
            return
        self._wanted.clear()
        queues = list(self._pending)
        self._pending.clear()
        try:
            await connection.execute(
                "SELECT pg_notify($1, name) FROM unnest($2::text[]) AS name", _CHANNEL, queues
            )
        except BaseException:
            self._pending.update(queues)
            self._wanted.set()
            raise
        await self._sleep(_PAUSE.total_seconds())

    def _on_notification(
        self, connection: asyncpg.Connection, pid: int, channel: str, payload: object
    ) -> None:
        if connection.is_closed():  # the next one rouses everybody
            return
        ours = pid == connection.get_server_pid()  # `wake` has already roused this process
        if not ours and payload in Queue.__members__.values():
            self._rouse(Queue(str(payload)))

    def _rouse(self, queue: Queue) -> None:
        for event in self._sleepers[queue]:
            event.set()


@asynccontextmanager
async def open_waker(settings: DatabaseSettings) -> AsyncIterator[PostgresWaker]:
    """A waker whose connection is kept in the background; opening it never waits for the server.

    Raises:
        DatabaseUnavailable: DATABASE_URL is not set.
    """
    if settings.database_url is None:
        raise DatabaseUnavailable("DATABASE_URL is not set")
    url = make_url(settings.database_url.get_secret_value()).set(drivername="postgresql")
    waker = PostgresWaker(url.render_as_string(hide_password=False))
    running = asyncio.create_task(waker.run(), name="waker")
    try:
        yield waker
    finally:
        await end([running])
