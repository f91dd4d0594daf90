"""What every worker opens first: its database and its queue, each woken by the other's commits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shared.config.settings import PlatformSettings
from shared.messaging.port import TaskQueue
from shared.messaging.queues import open_queue
from shared.messaging.waker import open_waker
from shared.persistence.database import Database, open_database


@dataclass(frozen=True, slots=True)
class Work:
    """A database whose commits wake workers, and the queue they claim from."""

    database: Database
    queue: TaskQueue


@asynccontextmanager
async def open_work(settings: PlatformSettings) -> AsyncIterator[Work]:
    """Open both and close them in order.

    Raises:
        DatabaseUnavailable: no answer.
        UnsafeRole: row-level security would not bind the role of DATABASE_URL.
    """
    async with (
        open_waker(settings.database) as waker,
        open_database(settings.database, waker) as database,
        open_queue(settings.queue, database, waker) as queue,
    ):
        yield Work(database, queue)
