"""Turns in flight: a thousand that wait for a slow model, in one worker process.

Turns arrive evenly, as many a second as keep the wanted number in flight, so the ideal is that each
is committed exactly the model's delay after it arrived. What is more is the added delay: claim,
lease, reading, prompt, journal, check and commit, beside everything else that the process does
then. Arrival and commit are both told by the database's clock. The model is a process of its own.

Memory is measured apart, with all turns waiting at once: what the process holds then beyond what it
held before, after a warm-up. With the model in the process there is no HTTP client; with it, each
turn also has a connection with its buffers.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bench.machine import cpu_seconds
from bench.report import Row, percentile, row
from bench.runner import Options
from bench.shop import Shop, a_shop, open_conversations
from tests.support import rows
from tests.support.postgres import PostgresForTests, TestDatabase
from tests.support.redis import RedisForTests
from tests.support.stack import until

TURNS = 1000
"""In flight at once."""
DELAY = 30.0
"""Seconds that the model takes."""
WARM_UP = 50
ASKED = "Halo kak, ada kopi susu?"


@dataclass(frozen=True, kw_only=True)
class Load:
    turns: int
    delay: float

    @property
    def per_second(self) -> float:
        return self.turns / self.delay


class InFlight:
    name = "in-flight"
    title = "In flight: turns that wait for a slow model in one worker process"

    async def run(self, options: Options) -> list[Row]:
        load = Load(turns=100, delay=5.0) if options.quick else Load(turns=TURNS, delay=DELAY)
        found: list[Row] = []
        async with AsyncExitStack() as entered:
            redis = entered.enter_context(RedisForTests(private=True))
            server = await entered.enter_async_context(PostgresForTests(private=True))
            assert server.server is not None
            assert server.server.process is not None
            postmaster = server.server.process.pid
            stubs = await entered.enter_async_context(model_and_waha(load.delay))
            for http in (False, True):
                options.say(f"memory of {load.turns} waiting turns, {_client(http)}")
                found += await _memory(server, redis, load, stubs.model_url if http else None)
            options.say(f"{load.turns} turns in flight for {load.delay:g} s")
            found += await _rate(server, redis, load, stubs.model_url, postmaster)
        options.notes[self.name] = (
            f"{load.turns} turns in flight, the model takes {load.delay:g} s, "
            f"{load.per_second:.1f} turns/s arrive for {2 * load.delay:g} s; the second half is "
            "counted. What dominates: the CPU of a turn beside the renewal of 1,000 leases, one "
            "short transaction each every 10 s; of the memory, the turn's tasks, messages and, "
            "with HTTP, connection buffers."
        )
        return found


def _client(http: bool) -> str:
    return "with the HTTP client" if http else "without HTTP client"


# -- memory ----------------------------------------------------------------------------------------


async def _memory(
    server: PostgresForTests, redis: RedisForTests, load: Load, model_url: str | None
) -> list[Row]:
    resident, traced = [
        await _kib_per_turn(server, redis, load, model_url, trace=trace) for trace in (False, True)
    ]
    http = model_url is not None
    suffix = "_with_http" if http else ""
    return [
        row(
            f"in_flight.memory{suffix}",
            [resident],
            unit="KiB",
            goal=96 if http else 32,
            better="lower",
            note="resident, per turn",
        ),
        row(f"in_flight.traced{suffix}", [traced], unit="KiB", better="lower", note="by Python"),
    ]


async def _kib_per_turn(
    server: PostgresForTests,
    redis: RedisForTests,
    load: Load,
    model_url: str | None,
    *,
    trace: bool,
) -> float:
    db = await server.database()
    shop = await a_shop(db, llm_url=model_url)
    settings = {
        "BENCH_MODEL": "waits" if model_url is None else "http",
        "BENCH_TRACE": "1" if trace else "0",
    }
    async with a_worker(db, redis, load, settings) as worker:
        await worker.tell("answer")
        await open_conversations(db, shop, WARM_UP, text=ASKED)
        await _answered(db, WARM_UP)
        before = await worker.tell("wait" if model_url is None else "memory")
        await open_conversations(db, shop, load.turns, text=ASKED)
        during = before
        async with asyncio.timeout(300):
            while during["turns"] < load.turns:
                await asyncio.sleep(0.5)
                most = await worker.tell("memory")
                during = max(during, most, key=lambda each: each["turns"])
                if model_url is not None and await _replies(db) > WARM_UP:
                    break  # the first are answered while the last arrive: as many as there were
        held = "traced_kib" if trace else "resident_kib"
        return (during[held] - before[held]) / max(during["turns"] - before["turns"], 1)


# -- rate and delay --------------------------------------------------------------------------------


async def _rate(
    server: PostgresForTests, redis: RedisForTests, load: Load, model_url: str, postmaster: int
) -> list[Row]:
    db = await server.database()
    shop = await a_shop(db, llm_url=model_url)
    async with a_worker(db, redis, load, {"BENCH_MODEL": "http"}) as worker:
        await open_conversations(db, shop, WARM_UP, text=ASKED)
        await _answered(db, WARM_UP)
        await db.execute("UPDATE messages SET kind = 'reaction'")  # not counted
        used = cpu_seconds([worker.pid]), cpu_seconds([postmaster])
        arrived = await _arrive(db, shop, load)
        await _answered(db, WARM_UP + arrived)
        mine, theirs = cpu_seconds([worker.pid]), cpu_seconds([postmaster])
    added, share = await _judge(db, load)
    return [
        row("in_flight.rate", [share], goal=0.95, note="of the ideal, when all are in flight"),
        row(
            "in_flight.added_p95",
            [percentile(added, 0.95) * 1000],
            unit="ms",
            goal=300,
            better="lower",
        ),
        row("in_flight.added_p50", [percentile(added, 0.5) * 1000], unit="ms", better="lower"),
        row(
            "in_flight.cpu",
            [(mine - used[0]) / arrived * 1000],
            unit="ms",
            better="lower",
            note=f"per turn; the database's {(theirs - used[1]) / arrived * 1000:.1f} ms",
        ),
    ]


async def _arrive(db: TestDatabase, shop: Shop, load: Load) -> int:
    """Let turns arrive evenly for twice the model's delay."""
    loop = asyncio.get_running_loop()
    began, arrived = loop.time(), 0
    while (elapsed := loop.time() - began) < 2 * load.delay:
        due = int(elapsed * load.per_second) - arrived
        if due:
            await open_conversations(db, shop, due, text=ASKED)
            arrived += due
        await asyncio.sleep(0.05)
    return arrived


async def _judge(db: TestDatabase, load: Load) -> tuple[list[float], float]:
    """Added delays in order, and how much of the ideal rate was reached, from when the first
    turns were due: from then on the wanted number is in flight."""
    found = await db.fetch(
        """
        SELECT extract(epoch FROM s.created_at - m.received_at)::float AS took,
               extract(epoch FROM m.received_at - min(m.received_at) OVER ())::float AS arrived,
               extract(epoch FROM s.created_at - min(m.received_at) OVER ())::float AS committed
        FROM messages m JOIN sends s ON s.tenant_id = m.tenant_id AND s.reply_id = m.answered_by
        WHERE m.kind = 'message'
        """
    )
    full = [each for each in found if each["arrived"] >= load.delay / 2]
    within = [each for each in found if load.delay <= each["committed"] < 2 * load.delay]
    ideal = [each for each in found if each["arrived"] < load.delay]
    return sorted(each["took"] - load.delay for each in full), len(within) / len(ideal)


# -- processes -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Stubs:
    """Servers that cost next to nothing."""

    pid: int
    model_url: str
    waha_url: str


@asynccontextmanager
async def model_and_waha(delay: float) -> AsyncIterator[Stubs]:
    """A process with both; the model takes ``delay`` seconds."""
    process = await _python(["-m", "bench.peers.stubs", str(delay)], os.environ)
    assert process.stdout is not None
    model, waha = (await process.stdout.readline()).split()
    try:
        yield Stubs(
            pid=process.pid,
            model_url=f"http://127.0.0.1:{model.decode()}/v1",
            waha_url=f"http://127.0.0.1:{waha.decode()}",
        )
    finally:
        process.kill()
        await process.wait()


class WorkerProcess:
    """A child that runs `bench.in_flight_worker`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.pid = process.pid
        self._process = process

    async def tell(self, command: str) -> Mapping[str, float]:
        """Give a command; what it holds then."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command.encode() + b"\n")
        line = await self._process.stdout.readline()
        answer: Mapping[str, float] = json.loads(line)
        return answer


@asynccontextmanager
async def a_worker(
    db: TestDatabase, redis: RedisForTests, load: Load, settings: Mapping[str, str]
) -> AsyncIterator[WorkerProcess]:
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DATABASE_URL": db.url,
        "REDIS_URL": redis.url,
        "MASTER_KEY": rows.MASTER_KEY.get_secret_value(),
        "OUTBOUND_ALLOW_HOSTS": "127.0.0.1",
        "WORKER_CONCURRENCY": str(load.turns + load.turns // 5),
        "LLM_CHAT_TIMEOUT_SECONDS": str(load.delay + 20),
        "LLM_DEFAULT_TIMEOUT_SECONDS": str(load.delay + 20),
        **settings,
    }
    process = await _python(["-m", "bench.in_flight_worker"], environment)
    assert process.stdout is not None
    if (await process.stdout.readline()).strip() != b"ready":
        raise RuntimeError("the worker did not start")
    try:
        yield WorkerProcess(process)
    finally:
        process.kill()
        await process.wait()


async def _python(
    arguments: list[str], environment: Mapping[str, str]
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env=dict(environment),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


async def _replies(db: TestDatabase) -> int:
    count = await db.fetchval("SELECT count(DISTINCT reply_id) FROM sends")
    assert isinstance(count, int)
    return count


async def _answered(db: TestDatabase, count: int) -> None:
    async def all_are() -> bool:
        return await _replies(db) >= count

    await until(all_are, seconds=300)
