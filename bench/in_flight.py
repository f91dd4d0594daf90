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
import gc
import json
import os
import sys
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx2
from langgraph.graph import START, MessagesState, StateGraph

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
PATIENCE = 280
"""Seconds that everything of one part may take, the turns included."""
_LIMITS = (
    "LLM_CHAT_TIMEOUT_SECONDS",
    "LLM_DEFAULT_TIMEOUT_SECONDS",
    "TURN_DEADLINE_SECONDS",
)
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
            quick = await entered.enter_async_context(model_and_waha(0))
            for http in (False, True):
                options.say(f"memory of {load.turns} waiting turns, {_client(http)}")
                found += await _memory(server, redis, load, quick, http=http)
            found.append(await _graph_alone(load.turns))
            options.say(f"{load.turns} turns in flight for {load.delay:g} s")
            slow = await entered.enter_async_context(model_and_waha(load.delay))
            found += await _rate(server, redis, load, slow.model_url, postmaster)
        options.notes[self.name] = (
            f"{load.turns} turns in flight, the model takes {load.delay:g} s, "
            f"{load.per_second:.1f} turns/s arrive for {2 * load.delay:g} s; the second half is "
            "counted. What dominates: the CPU of a turn's 23 statements here and in PostgreSQL; "
            "each waiting turn also renews its lease every 10 s. Compare a waiting turn's memory "
            "with that of an empty graph of one node (traced_graph_alone). With HTTP, the "
            "request's body, headers and connection come on top."
        )
        return found


def _client(http: bool) -> str:
    return "with the HTTP client" if http else "without HTTP client"


# -- memory ----------------------------------------------------------------------------------------


async def _memory(
    server: PostgresForTests, redis: RedisForTests, load: Load, stubs: "Stubs", *, http: bool
) -> list[Row]:
    resident, traced = [
        await _kib_per_turn(server, redis, load, stubs, http=http, trace=trace)
        for trace in (False, True)
    ]
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
    stubs: "Stubs",
    *,
    http: bool,
    trace: bool,
) -> float:
    """What the process holds beyond before, when every turn has reached the model and waits."""
    db = await server.database()
    shop = await a_shop(db, llm_url=stubs.model_url if http else None)
    settings = {
        "BENCH_MODEL": "http" if http else "waits",
        "BENCH_TRACE": "1" if trace else "0",
        **dict.fromkeys(_LIMITS, str(PATIENCE)),
    }
    async with a_worker(db, redis, load, settings) as worker:

        async def all_wait(count: int) -> bool:
            held = await stubs.held() if http else (await worker.tell("waiting"))["waiting"]
            return held == count

        await worker.tell("answer")
        await open_conversations(db, shop, WARM_UP, text=ASKED)
        await _answered(db, WARM_UP)
        before = await worker.tell("wait")
        await stubs.hold()
        for opened in range(0, load.turns, WARM_UP):  # not all at once: each finds a connection
            more = min(WARM_UP, load.turns - opened)
            await open_conversations(db, shop, more, text=ASKED)
            await until(partial(all_wait, opened + more), seconds=PATIENCE)
        during = await worker.tell("memory")
        held = "traced_kib" if trace else "resident_kib"
    await stubs.go_on()
    return (during[held] - before[held]) / load.turns


async def _graph_alone(turns: int) -> Row:
    """What LangGraph itself holds for a graph of one node that waits and does nothing else."""
    go_on = asyncio.Event()

    async def node(state: MessagesState) -> MessagesState:
        await go_on.wait()
        return {"messages": []}

    builder = StateGraph(MessagesState)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    graph: Any = builder.compile()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    async with asyncio.TaskGroup() as group:
        for _ in range(turns):
            group.create_task(graph.ainvoke({"messages": []}))
        for _ in range(20):  # rounds of the loop until all of them wait
            await asyncio.sleep(0)
        gc.collect()
        during, _ = tracemalloc.get_traced_memory()
        go_on.set()
    tracemalloc.stop()
    held = (during - before) / turns / 1024
    note = "by Python: an empty StateGraph of one node that waits"
    return row("in_flight.traced_graph_alone", [held], unit="KiB", better="lower", note=note)


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
    client: httpx2.AsyncClient

    async def hold(self) -> None:
        """Let the model answer nobody from now on."""
        await self._ask("hold")

    async def held(self) -> int:
        """How many requests wait for `go_on`."""
        return await self._ask("held")

    async def go_on(self) -> None:
        """Let the model answer those that wait, and all others again."""
        await self._ask("go")

    async def _ask(self, what: str) -> int:
        answer = await self.client.get(self.model_url.removesuffix("/v1") + f"/{what}")
        return int(answer.content)


@asynccontextmanager
async def model_and_waha(delay: float) -> AsyncIterator[Stubs]:
    """A process with both; the model takes ``delay`` seconds."""
    process = await _python(["-m", "bench.peers.stubs", str(delay)], os.environ)
    assert process.stdout is not None
    model, waha = (await process.stdout.readline()).split()
    try:
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
            yield Stubs(
                pid=process.pid,
                model_url=f"http://127.0.0.1:{model.decode()}/v1",
                waha_url=f"http://127.0.0.1:{waha.decode()}",
                client=client,
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
    count = await db.fetchval("SELECT count(DISTINCT reply_id) FROM sends WHERE kind = 'ai'")
    assert isinstance(count, int)
    return count


async def _answered(db: TestDatabase, count: int) -> None:
    async def all_are() -> bool:
        return await _replies(db) >= count

    await until(all_are, seconds=PATIENCE)
