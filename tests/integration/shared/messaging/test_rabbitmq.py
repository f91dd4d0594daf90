"""What RabbitMQ may do to hints, and that the work does not mind."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import aio_pika
import pytest
import pytest_asyncio
from aio_pika.exceptions import PublishError

from shared.messaging.delays import RUNGS
from shared.messaging.ending import end
from shared.messaging.port import Finish, Queue, Task
from shared.messaging.relay import Relay
from shared.messaging.topology import Hint, dead_name, declare, delay_name, queue_name
from tests.integration.shared.messaging.bench import SqlBench, open_bench, quick
from tests.support.postgres import TestDatabase
from tests.support.rabbitmq import RabbitForTests

pytestmark = pytest.mark.rabbitmq


def a_task(key: str = "k", **changes: object) -> Task:
    return Task(queue=Queue.CRM_TASKS, kind="brew", key=key, **changes)  # type: ignore[arg-type]


@pytest_asyncio.fixture(loop_scope="session")
async def name(rabbitmq_bench: SqlBench) -> str:
    return queue_name(rabbitmq_bench.settings, Queue.CRM_TASKS)


async def eventually(holds: Callable[[], Awaitable[bool]], *, within: float) -> None:
    """Ask the broker again and again, as it tells nobody when its counts change."""
    async with asyncio.timeout(within):
        while not await holds():
            await asyncio.sleep(0.05)


def a_relay(bench: SqlBench, name: str, *, window: int = 1000) -> Relay:
    assert bench.settings.rabbitmq_url is not None
    return Relay(
        bench.database,
        bench.waker,
        Queue.CRM_TASKS,
        url=bench.settings.rabbitmq_url.get_secret_value(),
        name=name,
        poll=timedelta(seconds=1),
        sweep=timedelta(seconds=1),
        window=window,
        rng=random.Random(1),
    )


@asynccontextmanager
async def a_publisher(server: RabbitForTests) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    connection = await aio_pika.connect(server.url)
    async with connection, connection.channel(on_return_raises=True) as channel:
        yield channel


async def published(bench: SqlBench) -> int:
    count = await bench.test_database.fetchval(
        "SELECT count(*) FROM queue_messages WHERE published_at IS NOT NULL"
    )
    assert isinstance(count, int)
    return count


async def test_a_hint_names_its_row_and_nothing_else(
    rabbitmq_bench: SqlBench, rabbitmq_server: RabbitForTests, name: str
) -> None:
    await rabbitmq_bench.put(a_task(payload={"text": "halo, ada kopi apa?"}))
    async with a_publisher(rabbitmq_server) as channel:
        queue = await declare(channel, name)
        await a_relay(rabbitmq_bench, name).relay(channel)
        hint = await queue.get()
        await hint.ack()

    (row,) = await rabbitmq_bench.test_database.fetch("SELECT id FROM queue_messages")
    tenant = rabbitmq_bench.tenants[0]
    assert hint.body == Hint("brew", tenant, row["id"]).message().body
    assert set(hint.body.decode()) >= set(str(row["id"]))
    assert b"kopi" not in hint.body
    assert hint.delivery_mode == aio_pika.DeliveryMode.PERSISTENT


async def test_doubled_early_and_foreign_hints_change_nothing(
    rabbitmq_bench: SqlBench, rabbitmq_server: RabbitForTests, name: str
) -> None:
    await rabbitmq_bench.put(a_task("now"), a_task("later", delay=timedelta(hours=1)))
    rows = await rabbitmq_bench.test_database.fetch("SELECT id FROM queue_messages")
    async with a_publisher(rabbitmq_server) as channel:
        await declare(channel, name)
        hints = [Hint("brew", rabbitmq_bench.tenants[0], row["id"]).message() for row in rows]
        strange = [aio_pika.Message(body) for body in (b"", b"\xff", b"[1]", b'{"id": 7}')]
        for message in (*hints, *hints, *strange):
            await channel.default_exchange.publish(message, name)

    claim = await rabbitmq_bench.claim_one()

    assert claim.key == "now"
    assert await rabbitmq_bench.nothing_to_claim()
    assert await rabbitmq_bench.finish(claim) is Finish.DELETED
    assert await rabbitmq_bench.nothing_to_claim()
    assert (await rabbitmq_server.counts(name))[0] == 0
    assert (await rabbitmq_server.counts(dead_name(name)))[0] == 0


async def test_hints_of_a_consumer_that_died_come_again(
    rabbitmq_bench: SqlBench, rabbitmq_server: RabbitForTests, name: str
) -> None:
    await rabbitmq_bench.put(a_task())
    async with a_publisher(rabbitmq_server) as channel:
        queue = await declare(channel, name)
        await a_relay(rabbitmq_bench, name).relay(channel)
        await queue.get()  # in hand, and the connection goes

    claim = await rabbitmq_bench.claim_one()

    assert claim.attempts == 0
    assert await rabbitmq_bench.nothing_to_claim()


async def test_purged_hints_are_given_again(
    rabbitmq_bench: SqlBench, rabbitmq_server: RabbitForTests, name: str
) -> None:
    await rabbitmq_bench.put(*(a_task(f"{n}") for n in range(20)))
    relay = a_relay(rabbitmq_bench, name)
    async with a_publisher(rabbitmq_server) as channel:
        queue = await declare(channel, name)
        await relay.relay(channel)
        await queue.purge()
    assert await published(rabbitmq_bench) == 20

    async with asyncio.timeout(10):
        claims = await rabbitmq_bench.claim_all(20)

    assert sorted(claim.key for claim in claims) == sorted(f"{n}" for n in range(20))


async def test_a_sweep_gives_again_only_what_is_missing_and_the_oldest_first(
    rabbitmq_bench: SqlBench, rabbitmq_server: RabbitForTests, name: str
) -> None:
    await rabbitmq_bench.put(*(a_task(f"{n}") for n in range(6)))
    relay = a_relay(rabbitmq_bench, name)
    async with a_publisher(rabbitmq_server) as channel:
        queue = await declare(channel, name)
        await relay.relay(channel)
        lost = [await queue.get(no_ack=True) for _ in range(2)]
        await rabbitmq_bench.jump(5)

        await relay.sweep(channel)
        assert (await rabbitmq_server.counts(name))[0] == 6
        again = [await queue.get(no_ack=True) for _ in range(6)][-2:]
        assert sorted(hint.body for hint in again) == sorted(hint.body for hint in lost)

        await relay.sweep(channel)
        assert (await rabbitmq_server.counts(name))[0] == 4, "those of a moment ago are on the way"


async def test_a_relay_fills_its_window_and_no_more(
    rabbitmq_bench: SqlBench, rabbitmq_server: RabbitForTests, name: str
) -> None:
    await rabbitmq_bench.put(*(a_task(f"a{n}") for n in range(30)))
    await rabbitmq_bench.put(*(a_task(f"b{n}") for n in range(30)), tenant=1)
    relays = [a_relay(rabbitmq_bench, name, window=10) for _ in range(3)]
    async with a_publisher(rabbitmq_server) as channel:
        queue = await declare(channel, name)
        for _ in range(2):
            await asyncio.gather(*(relay.relay(channel) for relay in relays))
        assert (await rabbitmq_server.counts(name))[0] == 10
        kinds = await rabbitmq_bench.test_database.fetch(
            "SELECT left(key, 1) AS tenant, count(*) FROM queue_messages"
            " WHERE published_at IS NOT NULL GROUP BY 1 ORDER BY 1"
        )
        assert [tuple(row) for row in kinds] == [("a", 5), ("b", 5)]
        await queue.purge()

    assert len(await rabbitmq_bench.claim_all(60)) == 60


class SlowBroker:
    """Answers each publish when it is told how; stands where a channel stands."""

    def __init__(self) -> None:
        self.default_exchange = self
        self.answers: list[asyncio.Future[None]] = []
        self._asked = asyncio.Condition()

    async def publish(self, message: object, routing_key: str, **_: object) -> None:
        answer = asyncio.get_running_loop().create_future()
        async with self._asked:
            self.answers.append(answer)
            self._asked.notify_all()
        await answer

    async def asked(self, count: int) -> None:
        async with asyncio.timeout(10), self._asked:
            await self._asked.wait_for(lambda: len(self.answers) == count)


async def test_the_next_hints_go_out_while_the_last_are_still_unconfirmed(
    rabbitmq_bench: SqlBench, name: str
) -> None:
    broker, relay = SlowBroker(), a_relay(rabbitmq_bench, name)
    relaying = asyncio.create_task(relay.keep_relaying(broker))  # type: ignore[arg-type]
    await rabbitmq_bench.put(a_task("first"))
    await broker.asked(1)
    await rabbitmq_bench.put(a_task("second"))
    await broker.asked(2)

    for answer in broker.answers:
        answer.set_result(None)

    async def confirmed() -> bool:
        return (
            await rabbitmq_bench.test_database.fetchval(
                "SELECT count(*) = 2 FROM queue_messages"
                " WHERE published_at IS NOT NULL AND lease_until IS NULL"
            )
            is True
        )

    await eventually(confirmed, within=10)
    await end([relaying])


async def test_what_is_on_its_way_when_a_publish_fails_is_given_back_too(
    rabbitmq_bench: SqlBench, name: str
) -> None:
    broker, relay = SlowBroker(), a_relay(rabbitmq_bench, name)
    relaying = asyncio.create_task(relay.keep_relaying(broker))  # type: ignore[arg-type]
    await rabbitmq_bench.put(a_task("first"))
    await broker.asked(1)
    await rabbitmq_bench.put(a_task("second"))
    await broker.asked(2)

    broker.answers[0].set_exception(TimeoutError("no confirm"))
    broker.answers[1].set_exception(ConnectionError("the broker went away"))
    with pytest.raises(TimeoutError, match="no confirm"):
        await relaying

    rows = await rabbitmq_bench.test_database.fetch("SELECT * FROM queue_messages")
    assert [(row["published_at"], row["lease_until"]) for row in rows] == [(None, None)] * 2


async def test_an_unroutable_hint_leaves_the_row_due(
    rabbitmq_bench: SqlBench, rabbitmq_server: RabbitForTests, name: str
) -> None:
    await rabbitmq_bench.put(a_task())
    relay = a_relay(rabbitmq_bench, name)

    async with a_publisher(rabbitmq_server) as channel:
        with pytest.raises(PublishError):
            await relay.relay(channel)

    (row,) = await rabbitmq_bench.test_database.fetch("SELECT * FROM queue_messages")
    assert (row["published_at"], row["lease_until"], row["attempts"]) == (None, None, 0)
    assert (await rabbitmq_bench.claim_one()).attempts == 0


async def test_a_relay_that_died_before_the_mark_only_doubles_hints(
    rabbitmq_bench: SqlBench, rabbitmq_server: RabbitForTests, name: str
) -> None:
    await rabbitmq_bench.put(a_task())
    await rabbitmq_bench.test_database.execute(
        "UPDATE queue_messages SET published_at = platform_now(),"
        " lease_until = platform_now() + interval '10 seconds'"
    )
    relay = a_relay(rabbitmq_bench, name)
    async with a_publisher(rabbitmq_server) as channel:
        await declare(channel, name)
        await relay.relay(channel)
        assert (await rabbitmq_server.counts(name))[0] == 0, "another relay may be publishing it"

        await rabbitmq_bench.jump(11)
        await relay.relay(channel)
        assert (await rabbitmq_server.counts(name))[0] == 1

    claim = await rabbitmq_bench.claim_one()
    assert claim.attempts == 0


async def test_a_hint_quicker_than_its_relays_mark_is_followed(rabbitmq_bench: SqlBench) -> None:
    await rabbitmq_bench.put(a_task())
    await rabbitmq_bench.test_database.execute(
        "UPDATE queue_messages SET published_at = platform_now(),"
        " lease_until = platform_now() + interval '1 hour'"
    )
    (row,) = await rabbitmq_bench.test_database.fetch("SELECT id FROM queue_messages")
    broker = rabbitmq_bench.settings.rabbitmq_url
    assert broker is not None
    connection = await aio_pika.connect(broker.get_secret_value())
    async with connection, connection.channel() as channel:
        name = queue_name(rabbitmq_bench.settings, Queue.CRM_TASKS)
        await declare(channel, name)
        hint = Hint("brew", rabbitmq_bench.tenants[0], row["id"])
        await channel.default_exchange.publish(hint.message(), name)

    assert (await rabbitmq_bench.claim_one()).attempts == 0


async def test_a_hint_whose_row_is_being_written_to_is_followed_after_the_others(
    rabbitmq_bench: SqlBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as by the relay that marks it: no sweep has to find out that it was in vain."""
    seldom = {"queue_sweep_seconds": timedelta(minutes=5)}
    monkeypatch.setattr(
        rabbitmq_bench, "settings", rabbitmq_bench.settings.model_copy(update=seldom)
    )
    queue = await rabbitmq_bench.another()
    assert not await queue.claim(Queue.CRM_TASKS, 1, wait=timedelta(0))
    await rabbitmq_bench.put(a_task("written to"))
    await rabbitmq_bench.put(a_task("free"), tenant=1)

    async def both() -> bool:
        return await published(rabbitmq_bench) == 2

    await eventually(both, within=15)
    async with rabbitmq_bench.test_database.admin() as writer, asyncio.timeout(20):
        async with writer.transaction():
            locked = "SELECT FROM queue_messages WHERE key = 'written to' FOR UPDATE"
            await writer.execute(locked)
            [claim] = await queue.claim(Queue.CRM_TASKS, 1, wait=timedelta(seconds=15))
            assert claim.key == "free"
            assert not await queue.claim(Queue.CRM_TASKS, 1, wait=timedelta(seconds=0.3))
        [claim] = await queue.claim(Queue.CRM_TASKS, 1, wait=timedelta(seconds=15))
        assert claim.key == "written to"


async def test_work_planned_one_rung_ahead_goes_up_the_ladder(
    rabbitmq_bench: SqlBench, rabbitmq_server: RabbitForTests, name: str
) -> None:
    five_minutes = RUNGS[-1]
    async with a_publisher(rabbitmq_server) as channel:
        await declare(channel, name)
        relay = a_relay(rabbitmq_bench, name)
        await rabbitmq_bench.put(
            a_task("retry", delay=five_minutes), a_task("timer", delay=timedelta(minutes=3))
        )
        await relay.hint_ahead(channel)
        await relay.hint_ahead(channel)

    held = [(await rabbitmq_server.counts(delay_name(name, step)))[0] for step in RUNGS]
    assert held == [0, 0, 0, 0, 1]
    assert await rabbitmq_bench.nothing_to_claim()
    await rabbitmq_bench.jump(301)
    assert len(await rabbitmq_bench.claim_all(2)) == 2


async def test_the_ladder_brings_a_hint_back_after_its_step(
    rabbitmq_bench: SqlBench, rabbitmq_server: RabbitForTests, name: str
) -> None:
    async with a_publisher(rabbitmq_server) as channel:
        await declare(channel, name)
        hint = aio_pika.Message(b"{}", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(hint, delay_name(name, RUNGS[0]))

    async def came_back() -> bool:
        return (await rabbitmq_server.counts(name))[0] == 1

    await eventually(came_back, within=10)


async def test_a_consumer_whose_queue_was_deleted_attaches_again(
    rabbitmq_bench: SqlBench, rabbitmq_server: RabbitForTests, name: str
) -> None:
    await rabbitmq_bench.put(a_task("before"))
    assert (await rabbitmq_bench.claim_one()).key == "before"
    assert (await rabbitmq_server.counts(name))[1] == 1

    async with rabbitmq_server.channel() as channel:
        await channel.queue_delete(name)

    async def attached() -> bool:
        return (await rabbitmq_server.counts(name))[1] == 1

    await eventually(attached, within=10)
    await rabbitmq_bench.put(a_task("after"))
    assert (await rabbitmq_bench.claim_one()).key == "after"


async def test_a_broker_that_was_killed_finds_its_consumers_again(
    test_database: TestDatabase,
) -> None:
    with RabbitForTests(private=True) as server:
        async with (
            server.queues(**quick()) as settings,
            open_bench(test_database, settings) as bench,
        ):
            name = queue_name(settings, Queue.CRM_TASKS)
            await bench.put(*(a_task(f"{n}") for n in range(50)))
            before = await bench.claim_all(5)

            # killed within half a second of its making, RabbitMQ 3.10 never revives a queue
            await asyncio.sleep(1)
            await asyncio.to_thread(server.kill)
            await bench.put(a_task("meanwhile"))  # accepting work does not need the broker
            for claim in before:
                assert await bench.finish(claim) is Finish.DELETED
            await asyncio.to_thread(server.start)

            async def attached() -> bool:
                return (await server.counts(name))[1] == 1

            await eventually(attached, within=10)
            after = await bench.claim_all(46)

    keys = sorted(claim.key for claim in (*before, *after))
    assert keys == sorted(["meanwhile", *(f"{n}" for n in range(50))])
    assert {claim.attempts for claim in after} == {0}


async def test_without_a_broker_workers_wait_and_work_is_kept(test_database: TestDatabase) -> None:
    server = RabbitForTests(private=True)  # never started
    async with server.queues(**quick()) as settings, open_bench(test_database, settings) as bench:
        await bench.put(a_task())

        assert await bench.nothing_to_claim()

        (row,) = await test_database.fetch("SELECT * FROM queue_messages")
        assert (row["published_at"], row["lease_until"], row["attempts"]) == (None, None, 0)
