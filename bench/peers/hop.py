"""One end of a queue hop as a process: ``python -m bench.peers.hop ENGINE ROLE``.

Takes orders as JSON lines on its standard input and answers each with one line. A producer sends
``{"count": n, "rate": per second or 0}`` messages, at most ``IN_FLIGHT`` unanswered; each is
confirmed or committed. A worker answers ``{"count": n}`` when it has handled so many, with the time
that each took from being due to being handled, in seconds.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import structlog

BODY = "x" * 1400
"""With what surrounds it a message has about 1.5 KB."""
IN_FLIGHT = 100
QUEUE = "bench.hop"


class Producer(ABC):
    @abstractmethod
    async def send(self, number: int, due: float) -> None:
        """Return when the message cannot be lost any more."""

    async def run(self, count: int, rate: float) -> None:
        began = time.monotonic()
        numbers = iter(range(count))
        if rate:
            sending = set()
            for number in numbers:
                due = began + number / rate
                await asyncio.sleep(max(0, due - time.monotonic()))
                sending.add(asyncio.create_task(self.send(number, due)))
            await asyncio.gather(*sending)
        else:
            await asyncio.gather(*(self._one_after_another(numbers) for _ in range(IN_FLIGHT)))

    async def _one_after_another(self, numbers: Any) -> None:
        for number in numbers:
            await self.send(number, time.monotonic())


class Handled:
    """What a worker has handled so far, and who waits for more of it."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._changed = asyncio.Event()

    def note(self, due: float) -> None:
        self._seconds.append(time.monotonic() - due)
        self._changed.set()

    async def take(self, count: int) -> list[float]:
        while len(self._seconds) < count:
            self._changed.clear()
            await self._changed.wait()
        taken, self._seconds = self._seconds[:count], self._seconds[count:]
        return taken


class _OurProducer(Producer):
    def __init__(self, database: Any, tenant_id: Any) -> None:
        from shared.messaging.port import Queue, Task
        from shared.persistence.unit_of_work import Transaction

        self._begin = lambda: Transaction(database, tenant_id)
        self._task = lambda number, due: Task(
            queue=Queue.CRM_TASKS,
            kind="hop",
            key=f"{time.monotonic_ns()}-{number}",
            payload={"due": due, "body": BODY},
        )

    async def send(self, number: int, due: float) -> None:
        async with self._begin() as tx:
            await tx.enqueue(self._task(number, due))
            await tx.commit()


@asynccontextmanager
async def our_producer() -> AsyncIterator[Producer]:
    """Each message in a transaction of its own; the adapters differ on the other end only."""
    from shared.config.settings import DatabaseSettings
    from shared.kernel.ids import TenantId
    from shared.messaging.waker import open_waker
    from shared.persistence.database import open_database

    settings = DatabaseSettings()
    tenant_id = TenantId(UUID(os.environ["BENCH_TENANT"]))
    async with open_waker(settings) as waker, open_database(settings, waker) as database:
        yield _OurProducer(database, tenant_id)


@asynccontextmanager
async def our_worker() -> AsyncIterator[Handled]:
    """The product's consume loop; the handler's own transaction deletes the row."""
    from shared.config.settings import PlatformSettings
    from shared.messaging.consume import consume
    from shared.messaging.platform import open_work
    from shared.messaging.port import Claim, ClaimLost, Finish, Queue, Route
    from shared.persistence.unit_of_work import Transaction

    settings = PlatformSettings.from_environment()
    handled, stop = Handled(), asyncio.Event()
    async with open_work(settings) as work:

        async def handle(claim: Claim) -> None:
            async with Transaction(work.database, claim.tenant_id) as tx:
                if await tx.finish(claim) is Finish.LOST:
                    raise ClaimLost
                await tx.commit()
            handled.note(claim.payload["due"])

        consuming = asyncio.create_task(
            consume(
                work.queue,
                [Queue.CRM_TASKS],
                {"hop": Route(handle=handle)},
                stop=stop,
                settings=settings.queue,
            )
        )
        try:
            yield handled
        finally:
            stop.set()
            await consuming


_THINNEST = """
    CREATE TABLE IF NOT EXISTS thinnest (id bigserial PRIMARY KEY, body jsonb, leased boolean)
"""
_LEASE = """
    UPDATE thinnest SET leased = true WHERE id IN (
        SELECT id FROM thinnest WHERE leased IS NULL ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING id, body
"""


@asynccontextmanager
async def _plain_pool() -> AsyncIterator[Any]:
    import asyncpg

    async with asyncpg.create_pool(os.environ["ADMIN_URL"], min_size=20, max_size=20) as pool:
        yield pool


@asynccontextmanager
async def thinnest_producer() -> AsyncIterator[Producer]:
    """The least that a row per message can cost: one statement is the whole transaction, past
    SQLAlchemy, tenants, keys, generations and due times."""
    async with _plain_pool() as pool:
        await pool.execute(_THINNEST)

        class Thinnest(Producer):
            async def send(self, number: int, due: float) -> None:
                body = json.dumps({"due": due, "body": BODY})
                await pool.execute("INSERT INTO thinnest (body) VALUES ($1)", body)

        yield Thinnest()


@asynccontextmanager
async def thinnest_worker() -> AsyncIterator[Handled]:
    """Leases in batches; each message's delete is a transaction of one statement."""
    handled, free = Handled(), asyncio.Semaphore(IN_FLIGHT)

    async def handle(row: Any) -> None:
        await pool.execute("DELETE FROM thinnest WHERE id = $1", row["id"])
        handled.note(json.loads(row["body"])["due"])
        free.release()

    async def work() -> None:
        async with asyncio.TaskGroup() as handling:
            while True:
                await free.acquire()
                free.release()
                rows = await pool.fetch(_LEASE, free._value)
                for row in rows:
                    await free.acquire()
                    handling.create_task(handle(row))
                if not rows:
                    await asyncio.sleep(0.002)  # no wake-ups: it would only cost more with them

    async with _plain_pool() as pool:
        await pool.execute(_THINNEST)
        working = asyncio.create_task(work())
        try:
            yield handled
        finally:
            working.cancel()
            await asyncio.wait([working])


@asynccontextmanager
async def _rabbitmq_channel() -> AsyncIterator[Any]:
    import aio_pika

    async with await aio_pika.connect_robust(os.environ["RABBITMQ_URL"]) as connection:
        channel = await connection.channel()
        arguments = {"x-queue-type": "quorum"}
        await channel.declare_queue(QUEUE, durable=True, arguments=arguments)
        yield channel


@asynccontextmanager
async def aio_pika_producer() -> AsyncIterator[Producer]:
    """Persistent and confirmed, into a quorum queue."""
    import aio_pika

    async with _rabbitmq_channel() as channel:

        class Plain(Producer):
            async def send(self, number: int, due: float) -> None:
                body = json.dumps({"due": due, "body": BODY}).encode()
                await channel.default_exchange.publish(
                    aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT), QUEUE
                )

        yield Plain()


@asynccontextmanager
async def aio_pika_worker() -> AsyncIterator[Handled]:
    """A prefetch of 100, each message acknowledged."""
    handled = Handled()
    async with _rabbitmq_channel() as channel:
        await channel.set_qos(prefetch_count=IN_FLIGHT)
        queue = await channel.get_queue(QUEUE)

        async def on_message(message: Any) -> None:
            due = json.loads(message.body)["due"]
            await message.ack()
            handled.note(due)

        await queue.consume(on_message)
        yield handled


@asynccontextmanager
async def celery_producer() -> AsyncIterator[Producer]:
    """Celery's client blocks, so threads send; publishes are confirmed."""
    from concurrent.futures import ThreadPoolExecutor

    from bench.peers.celery_app import hop

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(16) as threads:

        class Threads(Producer):
            async def send(self, number: int, due: float) -> None:
                await loop.run_in_executor(threads, hop.delay, due, BODY)

        yield Threads()


ENDS: dict[tuple[str, str], Callable[[], Any]] = {
    ("postgresql", "producer"): our_producer,
    ("postgresql", "worker"): our_worker,
    ("rabbitmq", "producer"): our_producer,
    ("rabbitmq", "worker"): our_worker,
    ("aio_pika", "producer"): aio_pika_producer,
    ("aio_pika", "worker"): aio_pika_worker,
    ("celery", "producer"): celery_producer,
    ("thinnest", "producer"): thinnest_producer,
    ("thinnest", "worker"): thinnest_worker,
}


async def _serve(engine: str, role: str) -> None:
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with AsyncExitStack() as entered:
        end = await entered.enter_async_context(ENDS[engine, role]())
        print(json.dumps("ready"), flush=True)
        while line := await orders.readline():
            order = json.loads(line)
            if role == "producer":
                await end.run(order["count"], order["rate"])
                print(json.dumps("sent"), flush=True)
            else:
                print(json.dumps(await end.take(order["count"])), flush=True)


def main() -> None:
    engine, role = sys.argv[1:]
    # standard output is for answers
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(engine, role))


if __name__ == "__main__":
    main()
