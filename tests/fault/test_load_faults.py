"""More work than workers, more connections than files, clients that never come to the point."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from shared.config.settings import QueueSettings
from shared.kernel.ids import TenantId
from shared.messaging.consume import consume
from shared.messaging.port import Claim, Queue, Route, Task
from shared.persistence.unit_of_work import Transaction
from tests.fault import plants
from tests.integration.shared.messaging.bench import (
    LEASE,
    SqlBench,
    add_tenant,
    open_bench,
    quick,
)
from tests.support.fake_llm import FakeLlm, Say
from tests.support.fake_waha import FakeWaha
from tests.support.postgres import PostgresForTests, TestDatabase
from tests.support.stack import Shop, Stack, until
from tests.support.until_idle import UntilIdle

SLOTS = 32
MEGABYTE = 1_048_576


# -- 32: a backlog ------------------------------------------------------------------------------


def _memory(pid: int | str = "self") -> int:
    """Bytes of memory that a process has in hand."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


async def _backlog(bench: SqlBench, sizes: dict[TenantId, int]) -> None:
    """Rows as they would lie after an outage, oldest first, in one statement."""
    await bench.test_database.execute(
        "INSERT INTO queue_messages (id, tenant_id, queue, kind, key, payload, available_at)"
        " SELECT gen_random_uuid(), t.id, 'crm_tasks', 'brew', n::text,"
        " jsonb_build_object('text', repeat('x', 1500)),"
        " platform_now() - interval '1 hour' + n * interval '1 millisecond'"
        " FROM unnest($1::uuid[], $2::int[]) AS t (id, size), generate_series(1, t.size) AS n",
        list(sizes),
        list(sizes.values()),
    )


@asynccontextmanager
async def _bench(database: TestDatabase) -> AsyncIterator[SqlBench]:
    settings = QueueSettings(**quick(worker_concurrency=SLOTS, queue_lease_seconds=LEASE))
    async with open_bench(database, settings) as opened:
        yield opened


async def _drain(
    bench: SqlBench, after: dict[int, TenantId] | None = None
) -> tuple[list[TenantId], int]:
    """Do everything; the tenants in the order of their claims, and the most claims in hand at once.
    ``after`` so many claims a tenant gets one more row."""
    served: list[TenantId] = []
    in_hand, most, stop = 0, 0, asyncio.Event()
    later = dict(after or {})

    async def brew(claim: Claim) -> None:
        nonlocal in_hand, most
        served.append(claim.tenant_id)
        in_hand += 1
        most = max(most, in_hand)
        try:
            if (tenant := later.pop(len(served), None)) is not None:
                await bench.put_as(tenant, Task(queue=Queue.CRM_TASKS, kind="brew", key="new"))
            async with Transaction(bench.database, claim.tenant_id) as tx:
                await tx.finish(claim)
                await tx.commit()
        finally:
            in_hand -= 1

    await consume(
        UntilIdle(bench.queue, stop),
        [Queue.CRM_TASKS],
        {"brew": Route(handle=brew)},
        stop=stop,
        settings=bench.settings,
    )
    return served, most


@pytest.mark.parametrize("size", [2_000, pytest.param(50_000, marks=pytest.mark.whole)])
async def test_32_a_backlog_is_drained_in_bounded_memory_and_starves_nobody(
    test_database: TestDatabase, size: int
) -> None:
    """One tenant has nearly all of it. Eight have five rows each, and one more comes for each of
    them while the worker is deep in the other's."""
    async with _bench(test_database) as bench:
        giant, *small = bench.tenants
        while len(small) < 8:
            small.append(await add_tenant(test_database))
        await _backlog(bench, {giant: size, **dict.fromkeys(small, 5)})
        late = {size // 2 + number: tenant for number, tenant in enumerate(small)}
        before = _memory()
        served, most = await _drain(bench, late)
        grown = _memory() - before

        assert Counter(served) == {giant: size, **dict.fromkeys(small, 6)}
        assert most <= SLOTS
        assert grown < 48 * MEGABYTE
        # round robin: before the giant's tenth row everybody's five are done
        first_rows = max(index for index, tenant in enumerate(served[:200]) if tenant != giant)
        assert first_rows <= 9 * 5 + SLOTS
        for moment, tenant in late.items():
            place = len(served) - 1 - served[::-1].index(tenant)
            assert place - moment <= 3 * SLOTS
        assert await test_database.fetchval("SELECT count(*) FROM queue_messages") == 0


@pytest.mark.whole
async def test_32_a_thousand_messages_that_waited_for_a_worker_keep_its_memory_flat(
    tmp_path: Path, embedded_postgres: PostgresForTests
) -> None:
    """Through the real processes: five hundred customers, two bubbles each, workers stopped."""
    async with (
        Stack(tmp_path, settings={"LLM_MAX_RETRIES": "0"}, postgres=embedded_postgres) as stack,
        FakeLlm(lambda request: Say("Baik Kak.")) as llm,
        FakeWaha() as waha,
    ):
        shop = await stack.a_shop("kopi", llm=llm, waha=waha)
        stack.kill("commerce-agent")
        chats = [f"6281240{number:06}@c.us" for number in range(500)]
        for text in ("satu", "dua"):
            for batch in range(0, 500, 50):
                await asyncio.gather(
                    *(_receives(shop, text, chat) for chat in chats[batch : batch + 50])
                )
        stack.start("commerce-agent")
        await waha.until(lambda: len(waha.texts()) >= 50, seconds=120)
        early = _memory(stack.pid("commerce-agent"))
        await waha.until(lambda: len(waha.texts()) >= 500, seconds=300)
        await until(lambda: _is_empty(stack), seconds=120)

        assert [len(waha.texts(chat)) for chat in chats] == [1] * 500
        assert _memory(stack.pid("commerce-agent")) - early < 96 * MEGABYTE


async def _receives(shop: Shop, text: str, chat: str) -> None:
    await shop.receives(shop.hooks.message(text, chat=chat))


async def _is_empty(stack: Stack) -> bool:
    return await stack.database.fetchval("SELECT count(*) FROM queue_messages") == 0


# -- 39: more connections than files, and none that says anything ---------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(
    tmp_path_factory: pytest.TempPathFactory, embedded_postgres: PostgresForTests
) -> AsyncIterator[Stack]:
    """A gateway that may have few files open."""
    folder = tmp_path_factory.mktemp("gateway")
    async with Stack(folder, services=(), postgres=embedded_postgres) as stack:
        stack.start("gateway", patch=f"{plants.__name__}:few_files")
        await stack.ready()
        yield stack
        await _work_is_done(stack)


async def _work_is_done(stack: Stack) -> None:
    """What the gateway has accepted meets the worker that it waited for."""
    stack.start("commerce-agent")
    await stack.ready()
    await until(lambda: _nothing_is_received(stack), seconds=60)


async def _nothing_is_received(stack: Stack) -> bool:
    open_events = await stack.database.fetchval(
        "SELECT count(*) FROM inbox_events WHERE state = 'received'"
    )
    return bool(open_events == 0)


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def _crowd(stack: Stack, count: int, says: bytes = b"") -> AsyncIterator[list[Connection]]:
    """So many connections that say this and no more."""
    crowd: list[Connection] = []
    try:
        for _ in range(count):
            crowd.append(await asyncio.open_connection("127.0.0.1", stack.port))
            crowd[-1][1].write(says)
        yield crowd
    finally:
        for _, writer in crowd:
            writer.close()


async def _are_hung_up_on(crowd: list[Connection]) -> int:
    """How many of them the server has closed."""

    async def is_closed(reader: asyncio.StreamReader) -> bool:
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(0.05):
                return await reader.read(1) == b""
            return False
        return reader.at_eof() or reader.exception() is not None

    return sum(await asyncio.gather(*(is_closed(reader) for reader, _ in crowd)))


STARTS = {
    "silent": b"",
    "slowloris": b"POST /v1/crm/webhook/whatsapp/x HTTP/1.1\r\nhost: x\r\nx-a: ",
}


@pytest.mark.parametrize("how", STARTS)
async def test_39_more_silent_connections_than_files_keep_nobody_out(
    gateway: Stack, how: str
) -> None:
    """The longest silent are hung up on; a request that was begun before the crowd came, and those
    that come after it, are answered."""
    shop = await gateway.a_shop("kopi")
    message = shop.hooks.message("halo")
    head = "".join(f"{name}: {value}\r\n" for name, value in message.headers.items())
    begun = await asyncio.open_connection("127.0.0.1", gateway.port)
    begun[1].write(
        f"POST {shop.webhook_url} HTTP/1.1\r\nhost: x\r\n{head}"
        f"content-length: {len(message.body)}\r\n\r\n".encode()
        + message.body[:10]
    )
    async with _crowd(gateway, plants.FILES + 150, STARTS[how]) as crowd:
        began = asyncio.get_running_loop().time()
        assert (await gateway.http.get("/health")).status_code == 200
        await shop.receives(shop.hooks.message("sesudah"))
        assert asyncio.get_running_loop().time() - began < 10
        begun[1].write(message.body[10:])
        assert (await begun[0].readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        assert await _are_hung_up_on(crowd) >= 150
    begun[1].close()
    assert (
        await gateway.database.fetchval(
            "SELECT count(*) FROM inbox_events WHERE tenant_id = $1", shop.id
        )
        == 2
    )


async def test_39_a_silent_connection_is_hung_up_on_in_its_time(gateway: Stack) -> None:
    """The patience is the one of `test_hostile_wire`; here the crowd fits, and is let be."""
    async with _crowd(gateway, 60) as crowd:
        assert (await gateway.http.get("/health")).status_code == 200
        assert await _are_hung_up_on(crowd) == 0


@pytest.mark.whole
async def test_39_five_thousand_silent_connections_keep_nobody_out(
    tmp_path: Path, embedded_postgres: PostgresForTests
) -> None:
    async with Stack(tmp_path, services=("gateway",), postgres=embedded_postgres) as stack:
        shop = await stack.a_shop("kopi")
        async with _crowd(stack, 5_000) as crowd:
            began = asyncio.get_running_loop().time()
            assert (await stack.http.get("/health")).status_code == 200
            await shop.receives(shop.hooks.message("halo"))
            assert asyncio.get_running_loop().time() - began < 5

            async def all_are() -> bool:
                return await _are_hung_up_on(crowd) == 5_000

            await until(all_are, seconds=60)  # they had twenty to say something
        assert (await stack.http.get("/health")).status_code == 200
        await _work_is_done(stack)
