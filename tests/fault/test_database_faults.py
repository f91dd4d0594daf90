"""What PostgreSQL may do, while customers write: it is the truth, so nothing goes on without it,
nothing is lost that was promised, and nothing happens twice."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from commerce_agent.application.ports.shop_agent import EffectKey
from commerce_agent.application.services.customer_service import CustomerService
from commerce_agent.domain.value_objects.ids import CustomerId
from commerce_agent.infrastructure.persistence.unit_of_work import SqlUnitOfWork
from shared.kernel.clock import utc_now
from tests.fault.live_platform import (
    AT_ONCE,
    Answered,
    Customers,
    Live,
    an_api_key,
    assert_prompt,
    at_work,
    open_live,
    until,
)
from tests.fault.whole_path import WholePath, open_path
from tests.integration.gateway.conftest import is_problem
from tests.support.fake_waha import Delay, FakeWaha
from tests.support.fault_proxy import FaultProxy
from tests.support.postgres import PostgresForTests, TestDatabase
from tests.support.scripted_agent import calls_tool, says
from tests.support.stack import a_product


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server() -> AsyncIterator[PostgresForTests]:
    """A server of this file's own, which flushes what it commits and may be restarted."""
    async with PostgresForTests(private=True) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def waha() -> AsyncIterator[FakeWaha]:
    async with FakeWaha() as opened:
        yield opened


# -- 11: connections that break, before, in and after COMMIT --------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def proxy(server: PostgresForTests) -> AsyncIterator[FaultProxy]:
    async with FaultProxy.before(server.template.url) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def opened_path(
    server: PostgresForTests, proxy: FaultProxy, waha: FakeWaha
) -> AsyncIterator[WholePath]:
    database = await server.database()
    through = replace(database, url=proxy.address(database.url))
    async with open_path(through, waha) as path:
        yield path


@pytest_asyncio.fixture(loop_scope="session")
async def path(opened_path: WholePath, proxy: FaultProxy) -> WholePath:
    """The whole path by way of the proxy, over connections that have seen no statement yet."""
    proxy.pass_through()
    await opened_path.db.execute("DELETE FROM idempotency_keys; DELETE FROM api_keys")
    await opened_path.begin_anew()
    proxy.reset()
    return opened_path


UNITS = {
    "the message is stored": b"INSERT INTO messages",
    "the model's answer is journaled": b"INSERT INTO turn_steps",
    "the tool has its effect": b"UPDATE customers",
    "the turn is committed": b"INSERT INTO sends",
    "the send is claimed": b"claim_send(",
    "the send's outcome is noted": b"UPDATE sends SET state",
}
"""Each transaction between a webhook and its answer, by a statement that only it sends."""

BREAKS = ("before COMMIT", "in COMMIT", "after COMMIT")


def cut(proxy: FaultProxy, statement: bytes, when: str) -> None:
    if when == "before COMMIT":
        proxy.cut_when(statement, direction="up", forward=False)
    else:
        forward = when == "after COMMIT"
        proxy.cut_when(b"COMMIT", after=statement, direction="up", forward=forward)


@pytest.mark.parametrize("when", [pytest.param(BREAKS[0], marks=pytest.mark.whole), *BREAKS[1:]])
@pytest.mark.parametrize("unit", UNITS)
async def test_row_11_a_broken_connection_leaves_one_message_one_effect_and_one_reply(
    unit: str, when: str, path: WholePath, proxy: FaultProxy, waha: FakeWaha
) -> None:
    customers = CustomerService(partial(SqlUnitOfWork, path.work.database), utc_now)

    async def effect(key: EffectKey) -> str:
        customer = CustomerId((await path.conversation())["customer_id"])
        return await customers.update_profile(path.shop.id, customer, note="suka manis", effect=key)

    path.scripted.default = calls_tool("update_profile", effect, then=says("Siap, Kak."))
    await path.receives(path.shop.hooks.message("kopi manis, ya"))
    before = proxy.cuts
    cut(proxy, UNITS[unit], when)
    await path.rest()

    assert proxy.cuts == before + 1
    assert path.said() == ["Siap, Kak."]
    assert await path.count("messages", "direction = 'in'") == 1
    assert await path.count("turns") == 1
    assert await path.journal() == ["read", "model", "tool", "model"]
    assert await path.count("sends") == 1
    assert await path.count("sends", "state = 'sent'") == 1
    assert await path.count("dead_letters") == 0
    await path.assert_clean()


@pytest.mark.parametrize("when", BREAKS[1:])
async def test_row_11_a_webhook_whose_commit_is_unclear_is_looked_up_and_accepted_once(
    when: str, path: WholePath, proxy: FaultProxy
) -> None:
    before = proxy.cuts
    webhook = path.shop.hooks.message("pesan yang putus di tengah")
    await path.receives(path.shop.hooks.message("halo"))  # the secrets are known by now
    cut_bodies(proxy, b"pesan yang putus", when)
    await path.receives(webhook)

    assert proxy.cuts == before + 1
    assert await path.count("inbox_events") == 2
    assert await path.count("queue_messages", "kind = 'inbox.waha'") == 2
    await path.rest()
    assert await path.count("messages", "direction = 'in'") == 2
    await path.assert_clean()


def cut_bodies(proxy: FaultProxy, text: bytes, when: str) -> None:
    """The inbox commits by the statement alone: its parameters are what is seen of it."""
    proxy.cut_when(text, direction="up", forward=when == "after COMMIT")


@pytest.mark.parametrize("when", BREAKS[1:])
async def test_row_11_a_request_whose_commit_is_unclear_says_so_and_is_not_done_twice(
    when: str, path: WholePath, proxy: FaultProxy
) -> None:
    key = await an_api_key(path.db, path.shop.id)
    url = f"/v1/crm/tenants/{path.shop.id}/products"
    request = partial(
        path.http.post,
        url,
        json=a_product("Kopi Susu", 25_000),
        headers=key | {"idempotency-key": "satu"},
    )
    assert (await path.http.get(url, headers=key)).status_code == 200

    cut(proxy, b"INSERT INTO products", when)
    is_problem(await request(), 409, "outcome_unknown")
    is_problem(await request(), 409, "request_in_progress")
    await path.jump(61)
    is_problem(await request(), 409, "outcome_unknown")
    assert await path.count("products") == (1 if when == "after COMMIT" else 0)


# -- 10: restart ----------------------------------------------------------------------------------


async def test_row_10_a_restart_is_503_at_once_and_the_pools_are_back_in_5_s(
    server: PostgresForTests, waha: FakeWaha
) -> None:
    waha.begin_anew()
    assert server.server is not None
    database = await server.database()
    async with open_live(database, waha) as live:
        customers = Customers(live)
        thinking = live.agent.next_waits()
        await customers.one()
        await thinking.entered()
        assert (await live.reads()).status == 200

        reads: list[Answered] = []
        async with customers.writing(), at_work(read_all_the_time(live, reads)):
            await until(lambda: len(customers.answers) > 3)
            await asyncio.to_thread(server.server.stop, immediately=True)
            await until(lambda: reads[-1].status == 503)
            await start(server)
            before = len(customers.answers)
            assert await until(lambda: 200 in customers.statuses[before:]) < 5
            assert await until(lambda: reads[-1].status == 200) < 5
        thinking.go_on()

        assert_prompt(customers.answers)
        assert_prompt(reads)
        assert 503 in customers.statuses
        await customers.try_again()
        await customers.all_answered()
        await live.rest()


async def start(server: PostgresForTests) -> None:
    """Start it anew; returns when it answers. Nobody else has to wait for that."""
    assert server.server is not None
    server.server.prepare()
    server.server.launch()
    await asyncio.to_thread(server.server.wait_until_ready)


async def read_all_the_time(live: Live, answers: list[Answered]) -> None:
    """Somebody who looks at the shop's customers."""
    while True:
        answers.append(await live.reads())
        await asyncio.sleep(0.1)


# -- 12: serialization failure, deadlock, lock timeout --------------------------------------------


STATES = ("40001", "40P01", "55P03")
"""Serialization failure, deadlock, lock timeout."""


async def contention(path: WholePath, event: str, *, times: int) -> None:
    """Let this many transactions fail at ``event``, as if others had been in their way."""
    name = re.sub("[^a-z]+", "_", event.lower())
    states = ", ".join(f"'{state}'" for state in STATES)
    await path.db.execute(
        f"CREATE SEQUENCE {name}; GRANT USAGE ON SEQUENCE {name} TO PUBLIC;"
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$"
        f" DECLARE tries integer := nextval('{name}');"  # a sequence is not rolled back
        f" BEGIN IF tries <= {times} THEN RAISE EXCEPTION 'in the way'"
        f" USING ERRCODE = (ARRAY[{states}])[1 + tries % {len(STATES)}]; END IF;"
        " RETURN coalesce(NEW, OLD); END $$;"
        f"CREATE TRIGGER {name} BEFORE {event} FOR EACH ROW EXECUTE FUNCTION {name}();"
    )


async def tries(path: WholePath) -> dict[str, int]:
    """How often each event was reached."""
    rows = await path.db.fetch(
        "SELECT sequencename AS name, last_value AS tries FROM pg_sequences"
        " JOIN pg_trigger ON tgname = sequencename ORDER BY 1"
    )
    return {row["name"]: row["tries"] for row in rows}


@pytest_asyncio.fixture(loop_scope="session")
async def contended(path: WholePath) -> AsyncIterator[WholePath]:
    yield path
    for name in await tries(path):
        await path.db.execute(f"DROP FUNCTION {name} CASCADE; DROP SEQUENCE {name}")


async def test_row_12_transactions_in_the_way_are_gone_after_a_few_tries_that_count_for_nothing(
    contended: WholePath,
) -> None:
    path = contended
    in_the_way = {
        "INSERT ON messages": 4,
        "INSERT ON turn_steps": 2,  # a turn's four are shared by its two
        "INSERT ON sends": 2,
        "UPDATE OF claimed_at ON sends": 4,
        "UPDATE OF ended_at ON sends": 4,
    }
    for event, times in in_the_way.items():
        await contention(path, event, times=times)
    deferred = work_done("deferred")
    await path.receives(path.shop.hooks.message("halo"))
    await path.settle()

    assert path.said() == ["Jawaban untuk: halo"]
    assert await path.count("messages", "direction = 'in'") == 1
    assert await path.count("sends") == await path.count("sends", "state = 'sent'") == 1
    assert work_done("deferred") == deferred
    assert await tries(path) == {
        "insert_on_messages": 5,
        "insert_on_turn_steps": 4,  # what it read, and what it was answered
        "insert_on_sends": 3,
        "update_of_claimed_at_on_sends": 5,
        "update_of_ended_at_on_sends": 5,
    }
    await path.rest()
    await path.assert_clean()


async def test_row_12_after_five_tries_the_work_waits_unharmed(contended: WholePath) -> None:
    path = contended
    await contention(path, "INSERT ON messages", times=5)
    await path.receives(path.shop.hooks.message("halo"))
    deferred = work_done("deferred")
    await path.rest(step=5)

    assert await tries(path) == {"insert_on_messages": 6}
    assert work_done("deferred") == deferred + 1
    assert path.said() == ["Jawaban untuk: halo"]
    assert await path.count("dead_letters") == 0
    await path.assert_clean()


async def test_row_12_no_transaction_is_open_while_a_model_or_whatsapp_is_waited_for(
    path: WholePath, waha: FakeWaha
) -> None:
    thinking = path.scripted.next_waits()
    waha.fault("/api/sendText", Delay(0.5))
    await path.receives(path.shop.hooks.message("halo"))
    settling = asyncio.create_task(path.settle())
    await thinking.entered()
    assert await open_transactions(path) == []
    thinking.go_on()
    await waha.until(lambda: "sendText" in waha.paths())
    assert await open_transactions(path) == []
    await settling
    assert path.said() == ["Jawaban untuk: halo"]


async def open_transactions(path: WholePath) -> list[str]:
    """What the platform's connections are in the middle of."""
    rows = await path.db.fetch(
        "SELECT state || ': ' || query AS what FROM pg_stat_activity"
        " WHERE datname = current_database() AND backend_type = 'client backend'"
        " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
    )
    return [row["what"] for row in rows]


def work_done(outcome: str) -> float:
    """How often work of any kind ended so by now."""
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "queue_tasks_total" and sample.labels["outcome"] == outcome
    )


# -- 13: pool exhausted, slow queries -------------------------------------------------------------


async def test_row_13_slow_requests_cost_others_a_503_at_once_and_webhooks_nothing(
    path: WholePath,
) -> None:
    key = await an_api_key(path.db, path.shop.id)
    products = f"/v1/crm/tenants/{path.shop.id}/products"
    customers = f"/v1/crm/tenants/{path.shop.id}/customers"
    assert (await path.http.get(customers, headers=key)).status_code == 200
    everybody = path.settings.database.database_pool_size
    everybody += path.settings.database.database_max_overflow
    strangers = [await path.a_shop(session=f"s{n}") for n in range(3)]
    loop = asyncio.get_running_loop()
    async with path.db.admin() as admin:
        locked = admin.transaction()
        await locked.start()
        await admin.execute("LOCK TABLE products IN ACCESS EXCLUSIVE MODE")
        slow = [asyncio.create_task(path.http.get(products, headers=key)) for _ in range(everybody)]
        await until(partial(_waiting_for_a_lock, path, everybody))

        began = loop.time()
        refused = await path.http.get(customers, headers=key)
        is_problem(refused, 503, "database_unavailable")
        assert int(refused.headers["retry-after"]) >= 1
        assert 0.2 < loop.time() - began < AT_ONCE
        for shop in strangers:  # their secrets have to be read first
            began = loop.time()
            await path.receives(shop.hooks.message("halo"), to=shop)
            assert loop.time() - began < AT_ONCE
        await locked.rollback()

    assert {answer.status_code for answer in await asyncio.gather(*slow)} == {200}
    assert (await path.http.get(customers, headers=key)).status_code == 200
    await path.rest()
    await path.assert_clean()


async def _waiting_for_a_lock(path: WholePath, count: int) -> bool:
    waiting = await path.db.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock'"
    )
    return waiting == count


# -- 14: disk full --------------------------------------------------------------------------------


@pytest.mark.whole
async def test_row_14_without_room_for_the_log_it_is_503_and_with_room_nothing_is_lost(
    waha: FakeWaha,
) -> None:
    waha.begin_anew()
    async with PostgresForTests(private=True) as server, small_disk(server) as disk:
        database = await server.database()
        async with open_live(database, waha) as live:
            customers = Customers(live)
            await customers.one()
            await customers.all_answered()
            async with customers.writing():
                await disk.fill(database)
                await until(lambda: 503 in customers.statuses)
                await disk.free()
                before = len(customers.answers)
                await until(lambda: 200 in customers.statuses[before:])

            assert_prompt(customers.answers)
            await customers.try_again()
            await customers.all_answered()
            await live.rest()


async def test_row_14_a_server_that_must_not_write_is_503_until_it_may(
    server: PostgresForTests, waha: FakeWaha
) -> None:
    waha.begin_anew()
    database = await server.database()
    async with open_live(database, waha) as live:
        customers = Customers(live)
        await customers.one()
        await customers.all_answered()
        async with customers.writing():
            await _read_only(database, "on")
            await until(lambda: 503 in customers.statuses)
            await _read_only(database, "off")
            before = len(customers.answers)
            await until(lambda: 200 in customers.statuses[before:])
        assert_prompt(customers.answers)
        await customers.try_again()
        await customers.all_answered()
        await live.rest()


async def _read_only(database: TestDatabase, switch: str) -> None:
    await database.execute(f"ALTER SYSTEM SET default_transaction_read_only = {switch}")
    await database.execute("SELECT pg_reload_conf()")


class SmallDisk:
    """The write-ahead log's own, on which there is little room; or, where we may mount none, a
    server that is told not to write."""

    def __init__(self, server: PostgresForTests, log: Path | None) -> None:
        self._server = server
        self._filler = log / "filler" if log else None
        self._database: TestDatabase | None = None

    async def fill(self, database: TestDatabase) -> None:
        self._database = database
        if self._filler is None:
            await _read_only(database, "on")
            return
        with self._filler.open("wb", buffering=0) as filler, suppress(OSError):
            while filler.write(bytes(1 << 20)):
                pass
        with suppress(asyncpg.PostgresError, OSError, asyncpg.InterfaceError):
            while True:  # what room there is in the segments that exist already
                await database.fetch(
                    "SELECT pg_logical_emit_message(false, '', repeat('.', 4000000))"
                )

    async def free(self) -> None:
        if self._filler is None:
            assert self._database is not None
            await _read_only(self._database, "off")
            return
        self._filler.unlink()
        # it ended when it found no room, as the operator's supervisor would have seen
        await asyncio.to_thread(self._server.server.stop, immediately=True)
        await start(self._server)


@asynccontextmanager
async def small_disk(server: PostgresForTests) -> AsyncIterator[SmallDisk]:
    """Move the log of a running server onto a disk of its own with 20 MB to spare."""
    assert server.server is not None
    log = server.folder / "postgres" / "pg_wal"
    if not _can_mount(log.parent):
        yield SmallDisk(server, None)
        return
    server.server.stop()
    aside = log.with_name("pg_wal.aside")
    shutil.move(log, aside)
    log.mkdir()
    owner, size = aside.stat(), sum(f.stat().st_size for f in aside.rglob("*"))
    options = f"size={size + 20_000_000},uid={owner.st_uid},gid={owner.st_gid},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(log)], check=True)
    try:
        subprocess.run(["cp", "-a", f"{aside}/.", str(log)], check=True)
        server.server.start()
        yield SmallDisk(server, log)
    finally:
        server.server.stop(immediately=True)
        subprocess.run(["umount", str(log)], check=True)


def _can_mount(beside: Path) -> bool:
    if os.geteuid() != 0:
        return False
    place = beside / "mount.test"
    place.mkdir()
    tried = subprocess.run(
        ["mount", "-t", "tmpfs", "tmpfs", str(place)], check=False, capture_output=True
    )
    if tried.returncode == 0:
        subprocess.run(["umount", str(place)], check=True)
    place.rmdir()
    return tried.returncode == 0
