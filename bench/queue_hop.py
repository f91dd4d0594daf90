"""Queue hop: from a message that is about to be enqueued to its handling, committed."""

import asyncio
import json
import os
import socket
import struct
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.machine import CpuMeter
from bench.platform import Process, python_path
from bench.report import Row, percentile, ratios, row
from bench.runner import Options
from shared.kernel.ids import new_id
from tests.support.postgres import PostgresForTests, plain
from tests.support.rabbitmq import RabbitForTests

ENGINES = ("postgresql", "rabbitmq", "thinnest", "aio_pika", "celery")
MESSAGES = {
    "postgresql": 5000,
    "rabbitmq": 5000,
    "thinnest": 5000,
    "aio_pika": 5000,
    "celery": 1500,
}
RATE = 150
PACED_SECONDS = 8
_PATIENCE = 120


class Worker(Protocol):
    pid: int

    async def take(self, count: int) -> list[float]:
        """The seconds that the next ``count`` messages took."""
        ...


class End:
    """A producer or worker in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def ask(self, order: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        return await self.answer()

    async def answer(self) -> Any:
        assert self._process.stdout is not None
        async with asyncio.timeout(_PATIENCE):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a queue's end has died; its log tells why")
        return json.loads(line)

    async def take(self, count: int) -> list[float]:
        taken: list[float] = await self.ask({"count": count})
        return taken


class CeleryWorker:
    """Celery's own worker; its tasks tell a socket."""

    def __init__(self, process: Process, told: socket.socket) -> None:
        self._process = process
        self._told = told
        self.pid = process.pid

    async def take(self, count: int) -> list[float]:
        self._process.check()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_PATIENCE):
            answers = [await loop.sock_recv(self._told, 8) for _ in range(count)]
        return [struct.unpack("d", each)[0] for each in answers]


@dataclass(frozen=True, kw_only=True)
class Engine:
    name: str
    producer: End
    worker: Worker
    stores: tuple[int, ...]

    async def hop(self, count: int, rate: float = 0) -> list[float]:
        """Send so many messages and wait until all are handled; the seconds of each."""
        _, seconds = await asyncio.gather(
            self.producer.ask({"count": count, "rate": rate}), self.worker.take(count)
        )
        return seconds


@dataclass(frozen=True, kw_only=True)
class Load:
    """A run as fast as it goes; CPU in microseconds per message."""

    rate: float
    worker: float
    producer: float
    store: float

    @property
    def cpu(self) -> float:
        return self.worker + self.producer + self.store


class QueueHop:
    name = "queue"
    title = "Queue hop: enqueued in a transaction, deleted in the handler's"

    async def run(self, options: Options) -> list[Row]:
        loads: dict[str, list[Load]] = defaultdict(list)
        paced: dict[str, list[list[float]]] = defaultdict(list)
        async with _engines(options.folder) as engines:
            for engine in engines:  # once for nothing: connections, caches and plans get warm
                await engine.hop(options.count(500))
            for number in range(options.rounds):
                for engine in engines:
                    loads[engine.name].append(
                        await _full_load(engine, options.count(MESSAGES[engine.name]))
                    )
                    seconds = await engine.hop(round(RATE * options.seconds(PACED_SECONDS)), RATE)
                    paced[engine.name].append(sorted(seconds))
                rates = ", ".join(f"{name} {each[-1].rate:,.0f}/s" for name, each in loads.items())
                options.say(f"round {number + 1}: {rates}")
        options.notes[self.name] = (
            "What dominates: round trips, that is system calls and wake-ups of the database's "
            "processes. Ours is two transactions of three round trips per message and its share of "
            "a claim; with RabbitMQ the reservation, the publish, the confirm and the ack on top. "
            "'thinnest' is the least that a row per message can cost, one statement to insert and "
            "one to delete: where it does not cost less than aio-pika, which keeps no row and "
            "cannot commit work and message together, nothing that keeps one can."
        )
        return _rows(loads, paced)


def _rows(loads: Mapping[str, list[Load]], paced: Mapping[str, list[list[float]]]) -> list[Row]:
    rate = {name: [load.rate for load in each] for name, each in loads.items()}
    cpu = {name: [load.cpu for load in each] for name, each in loads.items()}
    rows = []
    for name in ("postgresql", "rabbitmq"):
        p50 = [percentile(each, 0.5) * 1000 for each in paced[name]]
        rows.append(row(f"queue.{name}.p50", p50, unit="ms", goal=5, better="lower"))
    rows += [
        row(
            "queue.postgresql.cpu_vs_aio_pika",
            ratios(cpu["postgresql"], cpu["aio_pika"]),
            goal=1,
            better="lower",
        ),
        row("queue.rabbitmq.vs_aio_pika", ratios(rate["rabbitmq"], rate["aio_pika"]), goal=0.5),
        row("queue.postgresql.vs_celery", ratios(rate["postgresql"], rate["celery"]), goal=3),
        row("queue.rabbitmq.vs_celery", ratios(rate["rabbitmq"], rate["celery"]), goal=3),
    ]
    rows += [
        row(
            "queue.thinnest.cpu_vs_aio_pika",
            ratios(cpu["thinnest"], cpu["aio_pika"]),
            better="lower",
            note="the floor of the goal above",
        ),
        row(
            "queue.postgresql.cpu_vs_thinnest",
            ratios(cpu["postgresql"], cpu["thinnest"]),
            better="lower",
        ),
        row("queue.thinnest.vs_celery", ratios(rate["thinnest"], rate["celery"])),
    ]
    for name, each in loads.items():
        parts = " + ".join(
            f"{part} {sorted(getattr(load, part) for load in each)[len(each) // 2]:.0f}"
            for part in ("worker", "producer", "store")
        )
        p99 = [percentile(run, 0.99) * 1000 for run in paced[name]]
        rows += [
            row(f"queue.{name}.rate", rate[name], unit="msg/s"),
            row(f"queue.{name}.cpu", cpu[name], unit="µs/msg", better="lower", note=parts),
            row(f"queue.{name}.p99", p99, unit="ms", better="lower"),
        ]
        if name not in ("postgresql", "rabbitmq"):
            p50 = [percentile(run, 0.5) * 1000 for run in paced[name]]
            rows.append(row(f"queue.{name}.p50", p50, unit="ms", better="lower"))
    return rows


async def _full_load(engine: Engine, count: int) -> Load:
    meter = CpuMeter(
        worker=[engine.worker.pid], producer=[engine.producer.pid], store=engine.stores
    )
    began = time.perf_counter()
    await engine.hop(count)
    seconds = time.perf_counter() - began
    used = {name: each / count * 1e6 for name, each in meter.read().items()}
    return Load(rate=count / seconds, **used)


@asynccontextmanager
async def _engines(folder: Path) -> AsyncIterator[list[Engine]]:
    """All four at once: who has nothing to do costs next to nothing."""
    async with AsyncExitStack() as entered:
        postgres = await entered.enter_async_context(PostgresForTests(private=True))
        broker = entered.enter_context(RabbitForTests(private=True))
        assert postgres.server is not None
        assert postgres.server.process is not None
        server = postgres.server.process.pid
        stores = {
            "postgresql": (server,),
            "rabbitmq": (server, broker.pid),
            "thinnest": (server,),
            "aio_pika": (broker.pid,),
            "celery": (broker.pid,),
        }
        engines = []
        for name in ENGINES:
            environment = {"BENCH_SOCKET": str(folder / "celery.sock")}
            if name in ("rabbitmq", "aio_pika", "celery"):
                environment["RABBITMQ_URL"] = broker.url
            if name == "thinnest":
                environment["ADMIN_URL"] = plain((await postgres.database()).admin_url)
            if name in ("postgresql", "rabbitmq"):
                database, tenant = await postgres.database(), new_id()
                await database.execute(
                    "INSERT INTO tenants (id, slug, name, wrapped_key) VALUES ($1, 'b', 'B', '')",
                    tenant,
                )
                environment |= {"DATABASE_URL": database.url, "BENCH_TENANT": str(tenant)}
            if name == "celery":
                worker: Worker = _celery(entered, folder, environment)
            else:
                worker = await _end(entered, folder, environment, name, "worker")
            producer = await _end(entered, folder, environment, name, "producer")
            engines.append(Engine(name=name, producer=producer, worker=worker, stores=stores[name]))
        yield engines


async def _end(
    entered: AsyncExitStack, folder: Path, environment: Mapping[str, str], engine: str, role: str
) -> End:
    log = entered.enter_context((folder / f"{engine}-{role}.log").open("wb"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.peers.hop", engine, role),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
        limit=10_000_000,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": python_path(), **environment},
    )

    async def stop() -> None:
        assert process.stdin is not None
        process.stdin.close()  # it ends when it hears nothing more
        await process.wait()

    entered.push_async_callback(stop)
    end = End(process)
    try:
        await end.answer()
    except RuntimeError as error:
        raise RuntimeError(Path(log.name).read_text(errors="replace")[-2000:]) from error
    return end


def _celery(entered: AsyncExitStack, folder: Path, environment: Mapping[str, str]) -> CeleryWorker:
    told = entered.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    told.setblocking(False)
    told.bind(environment["BENCH_SOCKET"])
    argv = ["-m", "celery", "-A", "bench.peers.celery_app", "worker"]
    process = Process(
        [*argv, "--pool", "prefork", "-c", "2", "--loglevel", "WARNING", "--without-gossip"],
        folder / "celery-worker.log",
        environment,
    )
    entered.callback(process.stop)
    return CeleryWorker(process, told)
