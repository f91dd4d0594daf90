"""Open the task queue that the settings ask for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.config.settings import QueueSettings
from shared.messaging.port import TaskQueue
from shared.messaging.postgres import PostgresTaskQueue
from shared.messaging.rabbitmq import open_rabbit_queue
from shared.messaging.rows import QueueRows
from shared.messaging.waker import PostgresWaker
from shared.persistence.database import Database


@asynccontextmanager
async def open_queue(
    settings: QueueSettings, database: Database, waker: PostgresWaker
) -> AsyncIterator[TaskQueue]:
    """PostgreSQL alone, or with hints over RabbitMQ when RABBITMQ_URL is set.

    With RabbitMQ the relay and the sweep of each queue run inside, from the first claim on it.
    """
    if settings.rabbitmq_url is None:
        rows = QueueRows(database, settings.queue_lease_seconds)
        yield PostgresTaskQueue(rows, waker, poll=settings.queue_poll_seconds)
    else:
        async with open_rabbit_queue(settings, database, waker) as queue:
            yield queue
