"""What RabbitMQ may do, while customers write: it carries hints, so all it can cost is time."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import aio_pika
import pytest
import pytest_asyncio
from aio_pika.exceptions import DeliveryError, PublishError
from prometheus_client import REGISTRY

from shared.config.settings import QueueSettings
from shared.messaging.port import Queue, Task
from shared.messaging.relay import Relay
from shared.messaging.topology import PATIENCE_SECONDS, all_names, declare, queue_name
from tests.fault.live_platform import Customers, Live, open_live, until
from tests.integration.shared.messaging.bench import SqlBench, open_bench, quick
from tests.support.fake_waha import FakeWaha
from tests.support.fault_proxy import FaultProxy
from tests.support.postgres import TestDatabase
from tests.support.rabbitmq import RabbitForTests, installed_broker

pytestmark = [pytest.mark.rabbitmq, pytest.mark.whole]

BACK = 10.0
"""Seconds within which all is as before, once the broker is."""
EVERY = 0.2
"""Seconds between two messages of customers."""
LEADERLESS = 30.0
"""The same where a queue does not answer: we find that out in five seconds, and so does the broker
when it is told to delete it."""


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitForTests]:
    """A broker of this file's own, which may be killed."""
    if installed_broker() is None:
        pytest.skip("rabbitmq-server is not installed")
    with RabbitForTests(private=True) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def waha() -> AsyncIterator[FakeWaha]:
    async with FakeWaha() as server:
        yield server


@dataclass(frozen=True, kw_only=True)
class Wired:
    """A platform whose hints pass the proxy on their way; the test asks the broker directly."""

    live: Live
    broker: RabbitForTests
    proxy: FaultProxy
    names: tuple[str, ...]
    """The queues somebody consumes."""

    async def consumers(self) -> list[int]:
        """How many the broker counts, queue by queue."""
        return [(await self.broker.counts(name))[1] for name in self.names]

    async def is_attached(self) -> bool:
        return await self.consumers() == [1, 1]


@asynccontextmanager
async def wired(
    broker: RabbitForTests, db: TestDatabase, waha: FakeWaha, **queue: object
) -> AsyncIterator[Wired]:
    async with (
        broker.queues() as named,
        FaultProxy.before(broker.url) as proxy,
        open_live(db, waha, queue=_through(proxy, named) | queue) as live,
    ):
        names = (queue_name(named, Queue.CRM_TASKS), queue_name(named, Queue.WA_MESSAGES))
        made = Wired(live=live, broker=broker, proxy=proxy, names=names)
        await until(made.is_attached)
        yield made


def _through(proxy: FaultProxy, named: QueueSettings) -> dict[str, object]:
    assert named.rabbitmq_url is not None
    address = proxy.address(named.rabbitmq_url.get_secret_value())
    return {
        "rabbitmq_url": address,
        "rabbitmq_task_queue": named.rabbitmq_task_queue,
        "rabbitmq_crm_queue": named.rabbitmq_crm_queue,
        "rabbitmq_wa_queue": named.rabbitmq_wa_queue,
    }


def hints(queue: Queue, outcome: str) -> float:
    """How many hints the metrics count by now."""
    labels = {"queue": queue.value, "outcome": outcome}
    return REGISTRY.get_sample_value("queue_hints_total", labels) or 0.0


# -- 5: restart, kill -9 --------------------------------------------------------------------------


async def test_row_05_a_killed_broker_costs_no_webhook_and_finds_its_consumers_in_10_s(
    broker: RabbitForTests, test_database: TestDatabase, waha: FakeWaha
) -> None:
    async with wired(broker, test_database, waha) as bus:
        customers = Customers(bus.live)
        async with customers.writing(every=EVERY):
            await until(lambda: waha.sent)
            await asyncio.to_thread(broker.remember)  # a broker at work has had its queues for long
            await asyncio.to_thread(broker.kill)
            await asyncio.to_thread(broker.start)
            assert await until(bus.is_attached, seconds=BACK) < BACK
        customers.assert_all_accepted()
        assert len(customers.answers) > 10, "customers wrote during the whole outage"
        await customers.all_answered()
        await bus.live.rest()


async def test_row_05_a_queue_that_the_crash_left_without_leader_is_declared_anew(
    broker: RabbitForTests, test_database: TestDatabase, waha: FakeWaha
) -> None:
    async with wired(broker, test_database, waha) as bus:
        customers = Customers(bus.live)
        await customers.one()
        await customers.all_answered()
        tasks, _ = bus.names
        await asyncio.to_thread(broker.forget, tasks)
        await asyncio.to_thread(broker.kill)
        await customers.one()
        await asyncio.to_thread(broker.start)

        await until(bus.is_attached, seconds=LEADERLESS)
        [deleted] = bus.live.logged("queue_without_answer_deleted")
        assert deleted["queue"] == tasks
        customers.assert_all_accepted()
        await customers.all_answered()
        await bus.live.rest()


# -- 6: unreachable, black hole -------------------------------------------------------------------

Away = Literal["refused", "black hole"]


@pytest.mark.parametrize(
    ("how", "seconds"),
    [
        ("refused", 2),
        ("black hole", 7),
        pytest.param("refused", 30, marks=pytest.mark.whole),
        pytest.param("black hole", 30, marks=pytest.mark.whole),
    ],
)
async def test_row_06_an_unreachable_broker_costs_time_and_no_memory(
    how: Away, seconds: int, broker: RabbitForTests, test_database: TestDatabase, waha: FakeWaha
) -> None:
    # a sweep would find the broker away before any publish does
    async with wired(broker, test_database, waha, queue_sweep_seconds=60) as bus:
        customers = Customers(bus.live)
        await customers.one()
        await until(lambda: waha.texts())
        failed, memory = hints(Queue.CRM_TASKS, "failed"), _resident_megabytes()
        if how == "refused":
            bus.proxy.refuse()
            bus.proxy.reset()
        else:
            bus.proxy.black_hole()
        async with customers.writing(every=EVERY):
            await asyncio.sleep(seconds)  # the outage itself
        customers.assert_all_accepted()
        assert waha.texts() == ["Jawaban untuk: pesan 0"]
        assert _resident_megabytes() - memory < 20
        # each message of the last seconds may still be on its way to the broker, in two tasks
        assert len(asyncio.all_tasks()) < 60 + 2 * PATIENCE_SECONDS / EVERY
        if how == "black hole":  # each publish gave up after 5 s, and its row is due again
            assert hints(Queue.CRM_TASKS, "failed") > failed
            assert {line["error"] for line in bus.live.logged("hints_not_published")} == {
                "TimeoutError"
            }

        bus.proxy.pass_through()
        assert await customers.are_answered_again(seconds=BACK) < BACK
        assert await bus.is_attached()
        await customers.all_answered()
        await bus.live.rest()


def _resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


# -- 7: queue deleted, consumer cancelled, connection closed by the broker ------------------------


@pytest.mark.parametrize(
    "what", ["queues deleted", pytest.param("connections closed", marks=pytest.mark.whole)]
)
async def test_row_07_consumers_that_the_broker_threw_out_attach_again_in_10_s(
    what: str, broker: RabbitForTests, test_database: TestDatabase, waha: FakeWaha
) -> None:
    async with wired(broker, test_database, waha) as bus:
        customers = Customers(bus.live)
        await customers.one()
        await customers.all_answered()
        attached = len(bus.live.logged("consumer_attached"))
        if what == "queues deleted":
            async with broker.channel() as channel:
                for name in bus.names:
                    await channel.queue_delete(name)
        else:
            broker.control(
                '[rabbit_networking:close_connection(C, "a test")'
                " || C <- rabbit_networking:connections()]."
            )
        await until(lambda: len(bus.live.logged("consumer_attached")) >= attached + 2, seconds=BACK)
        assert await bus.consumers() == [1, 1]

        await customers.one()
        await customers.all_answered()
        await bus.live.rest()


# -- 8: memory and disk alarm ---------------------------------------------------------------------

ALARMS = {
    "memory": (
        "vm_memory_monitor:set_vm_memory_high_watermark(0.0000001).",
        "vm_memory_monitor:set_vm_memory_high_watermark(0.4).",
    ),
    "disk": (
        'rabbit_disk_monitor:set_disk_free_limit("99999GB").',
        'rabbit_disk_monitor:set_disk_free_limit("1MB").',
    ),
}


@contextmanager
def alarm(broker: RabbitForTests, kind: str) -> Iterator[None]:
    raised, cleared = ALARMS[kind]
    broker.control(raised)
    try:
        assert f"resource_limit, {kind}" in broker.control("rabbit_alarm:get_alarms().")
        yield
    finally:
        broker.control(cleared)


@pytest.mark.parametrize("kind", ["memory", pytest.param("disk", marks=pytest.mark.whole)])
async def test_row_08_an_alarm_makes_the_relay_wait_and_say_so_and_the_gateway_does_not_mind(
    kind: str, broker: RabbitForTests, test_database: TestDatabase, waha: FakeWaha
) -> None:
    async with wired(broker, test_database, waha) as bus:
        customers = Customers(bus.live)
        await customers.one()
        await customers.all_answered()
        failed = hints(Queue.CRM_TASKS, "failed")
        with alarm(broker, kind):
            async with customers.writing():
                await until(lambda: hints(Queue.CRM_TASKS, "failed") > failed, seconds=BACK)
            customers.assert_all_accepted()
            assert len(waha.texts()) == 1
            assert bus.live.logged("hints_not_published")[0]["error"] == "TimeoutError"
            unpublished = await bus.live.count("queue_messages", "attempts = 0")
            assert unpublished == len(customers.answers) - 1
        assert await customers.are_answered_again(seconds=BACK) < BACK
        await customers.all_answered()
        await bus.live.rest()


# -- 9: returned, nacked --------------------------------------------------------------------------


@asynccontextmanager
async def a_relay(
    broker: RabbitForTests, db: TestDatabase
) -> AsyncIterator[tuple[SqlBench, Relay, str]]:
    """A relay of the test's own, beside workers that consume nothing."""
    async with broker.queues(**quick()) as settings, open_bench(db, settings) as bench:
        name = queue_name(settings, Queue.CRM_TASKS)
        relay = Relay(
            bench.database,
            bench.waker,
            Queue.CRM_TASKS,
            url=broker.url,
            name=name,
            poll=timedelta(seconds=1),
            sweep=timedelta(seconds=60),
            window=1000,
            rng=random.Random(1),
        )
        yield bench, relay, name


def work(count: int) -> list[Task]:
    return [Task(queue=Queue.CRM_TASKS, kind="brew", key=f"{n}") for n in range(count)]


async def test_row_09_a_returned_hint_leaves_its_row_due_and_is_counted(
    broker: RabbitForTests, test_database: TestDatabase
) -> None:
    async with a_relay(broker, test_database) as (bench, relay, _):
        await bench.put(*work(3))
        failed, published = _outcomes()
        async with _confirming(broker) as channel:
            with pytest.raises(PublishError):
                await relay.relay(channel)  # there is no such queue
        assert _outcomes() == (failed + 3, published)
        due = "published_at IS NULL AND lease_until IS NULL AND attempts = 0"
        assert await _count(bench, due) == 3


async def test_row_09_a_nacked_hint_leaves_its_row_due_and_is_counted(
    broker: RabbitForTests, test_database: TestDatabase
) -> None:
    async with a_relay(broker, test_database) as (bench, relay, name):
        failed, published = _outcomes()
        broker.control(
            f'rabbit_policy:set(<<"/">>, <<"full">>, <<"^{name}$">>, [{{<<"max-length">>, 1}}, '
            '{<<"overflow">>, <<"reject-publish">>}], 0, <<"queues">>, <<"tests">>).'
        )
        try:
            async with _confirming(broker) as channel:
                queue = await declare(channel, name)
                put = await _put_until_nacked(bench, relay, channel)
                held = (await broker.counts(name))[0]
                assert 0 < held < put
                assert _outcomes() == (failed + put - held, published + held)
                marked = "published_at IS NOT NULL AND lease_until IS NULL"
                due = "published_at IS NULL AND lease_until IS NULL AND attempts = 0"
                assert await _count(bench, marked) == held
                assert await _count(bench, due) == put - held
                await queue.purge()
        finally:
            broker.control('rabbit_policy:delete(<<"/">>, <<"full">>, <<"tests">>).')


async def _put_until_nacked(
    bench: SqlBench, relay: Relay, channel: aio_pika.abc.AbstractChannel
) -> int:
    """A full queue says so a moment late; returns how many rows there are by then."""
    for batch in range(1, 21):
        await bench.put(*work(50 * batch)[-50:])
        try:
            await relay.relay(channel)
        except DeliveryError:
            return 50 * batch
    raise AssertionError("the broker takes everything")


def _outcomes() -> tuple[float, float]:
    return hints(Queue.CRM_TASKS, "failed"), hints(Queue.CRM_TASKS, "published")


async def _count(bench: SqlBench, where: str) -> int:
    number = await bench.test_database.fetchval(
        f"SELECT count(*) FROM queue_messages WHERE {where}"
    )
    assert isinstance(number, int)
    return number


@asynccontextmanager
async def _confirming(broker: RabbitForTests) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    connection = await aio_pika.connect(broker.url)
    async with connection, connection.channel(on_return_raises=True) as channel:
        yield channel


# -- 33: the broker's delivery timeout ------------------------------------------------------------


@contextmanager
def short_delivery_timeout(broker: RabbitForTests) -> Iterator[None]:
    """The broker closes channels that keep a message for more than a second."""
    usual = {"consumer_timeout": 1_800_000, "channel_tick_interval": 60_000}
    for name, value in {"consumer_timeout": 1_000, "channel_tick_interval": 500}.items():
        broker.control(f"application:set_env(rabbit, {name}, {value}).")
    try:
        yield
    finally:
        for name, value in usual.items():
            broker.control(f"application:set_env(rabbit, {name}, {value}).")


async def _keep_until_thrown_out(broker: RabbitForTests) -> None:
    """Take a message and never acknowledge it, until the broker has had enough."""
    async with AsyncExitStack() as stack:
        channel = await stack.enter_async_context(broker.channel())
        queue = await channel.declare_queue(exclusive=True)
        closed = asyncio.Event()

        async def keep(_: aio_pika.abc.AbstractIncomingMessage) -> None:
            return None

        channel.close_callbacks.add(lambda *_: closed.set())
        await queue.consume(keep)
        await channel.default_exchange.publish(aio_pika.Message(b"kept"), queue.name)
        async with asyncio.timeout(20):
            await closed.wait()
        stack.pop_all()  # what is closed cannot be closed again


async def test_row_33_a_turn_longer_than_the_delivery_timeout_holds_no_hint(
    broker: RabbitForTests, test_database: TestDatabase, waha: FakeWaha
) -> None:
    with short_delivery_timeout(broker):
        async with wired(broker, test_database, waha) as bus:
            # two that declare a queue at one moment may find it there and not yet at work
            ended = list(bus.live.logged("broker_session_ended"))
            thinking = bus.live.agent.next_waits()
            customers = Customers(bus.live)
            await customers.one()
            await thinking.entered()
            await _keep_until_thrown_out(broker)  # so long the turn has lasted by now

            thinking.go_on()
            await customers.all_answered()
            assert bus.live.logged("broker_session_ended") == ended
            assert len(bus.live.agent.turns) == 1
            await bus.live.rest()


@pytest.mark.whole
async def test_row_33_hints_kept_too_long_by_a_busy_worker_come_again_and_are_followed_once(
    broker: RabbitForTests, test_database: TestDatabase, waha: FakeWaha
) -> None:
    with ExitStack() as timeout:
        timeout.enter_context(short_delivery_timeout(broker))
        async with wired(broker, test_database, waha, worker_concurrency=1) as bus:
            thinking = bus.live.agent.next_waits()
            customers = Customers(bus.live)
            await customers.one()
            await thinking.entered()
            for _ in range(3):
                await customers.one()  # two of these are in the worker's hand, and stay there
            await until(lambda: bus.live.logged("broker_session_ended"))
            timeout.close()
            await until(bus.is_attached, seconds=BACK)

            thinking.go_on()
            await customers.all_answered()
            assert len(bus.live.agent.turns) == 4
            await bus.live.rest()


# -- and: everything in the broker is lost --------------------------------------------------------


async def test_purging_every_queue_costs_no_more_than_10_s(
    broker: RabbitForTests, test_database: TestDatabase, waha: FakeWaha
) -> None:
    usual = QueueSettings.model_fields["queue_sweep_seconds"].default
    async with wired(
        broker, test_database, waha, worker_concurrency=1, queue_sweep_seconds=usual
    ) as bus:
        thinking = bus.live.agent.next_waits()
        customers = Customers(bus.live)
        await customers.one()
        await thinking.entered()
        for _ in range(8):
            await customers.one()

        async def is_waiting() -> bool:
            return (await broker.counts(bus.names[0]))[0] >= 6  # two more are in hand

        await until(is_waiting)
        async with broker.channel() as channel:
            for name in all_names(bus.live.settings.queue):
                if name.startswith(bus.names):
                    await (await channel.get_queue(name, ensure=False)).purge()
        assert (await broker.counts(bus.names[0]))[0] == 0
        assert await until(is_waiting, seconds=BACK) < BACK

        thinking.go_on()
        await customers.all_answered()
        assert len(bus.live.agent.turns) == 9
        await bus.live.rest()
