"""Ingest: a signed webhook of 1.5 KB, from the request to the answer after its commit."""

import shutil
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.load import Measured, closed_loop, paced, wrk
from bench.machine import CpuMeter
from bench.platform import Platform, Process, answers
from bench.report import Row, percentile, ratios, row
from bench.runner import Options
from bench.webhooks import SignedWebhooks
from tests.support.rabbitmq import RabbitForTests
from tests.support.stack import free_port, until

CONNECTIONS = (32, 128)
SECONDS = 3.0
"""Of each run; every round has one of each server and number of connections."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """One of those that are measured beside each other. ``store`` is the root of the processes that
    keep its events; ``most`` is more than it answers in a second."""

    name: str
    process: Process
    port: int
    requests: SignedWebhooks
    most: int
    store: int | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    measured: Measured
    server_cpu: float
    store_cpu: float

    @property
    def cpu(self) -> float:
        """Microseconds of the server process per accepted request."""
        return self.server_cpu / self.measured.accepted * 1e6

    @property
    def store(self) -> float:
        """The same of the database or broker."""
        return self.store_cpu / self.measured.accepted * 1e6


class Ingest:
    name = "ingest"
    title = "Ingest: signed webhook of 1.5 KB, answered after its commit (fsync on)"

    async def run(self, options: Options) -> list[Row]:
        async with AsyncExitStack() as entered:
            platform = await entered.enter_async_context(
                Platform(options.folder, settings={"SEND_PACE_SECONDS": "0"})
            )
            servers = await _servers(entered, options.folder, platform)
            runs = await _closed_loops(servers, options)
            rows = _closed_rows(runs)
            rows.append(await _unaccounted(platform, runs))
            rows += await _paced(platform, servers["ours"], options)
        options.notes[self.name] = (
            f"loader: {'wrk' if _has_wrk() else 'own, in Python, which takes a core itself'}. "
            "What dominates: ours, the HTTP server and its ASGI calls, then both hashes of the "
            "body and the share of a group's statement; the usual design, FastAPI and the ORM "
            "session; RabbitMQ, one publish and confirm per request."
        )
        return rows


async def _servers(entered: AsyncExitStack, folder: Path, platform: Platform) -> dict[str, Server]:
    broker = entered.enter_context(RabbitForTests(private=True))
    events = await platform.postgres.database(migrated=False)
    environment = {
        "BENCH_SECRET": platform.webhook_secret,
        "BENCH_DATABASE_URL": events.owner_url,
        "BENCH_RABBITMQ_URL": broker.url,
        "BENCH_QUEUE": "bench.events",
    }

    async def peer(name: str, *, most: int, store: int | None = None) -> Server:
        port = free_port()
        argv = ["-m", "bench.peers.server", f"bench.peers.{name}", str(port)]
        process = Process(argv, folder / f"{name}.log", environment)
        entered.callback(process.stop)
        await answers(process, port)
        path = f"/webhook/{platform.tenant_id}"
        requests = SignedWebhooks(path=path, secret=platform.webhook_secret)
        return Server(
            name=name, process=process, port=port, requests=requests, most=most, store=store
        )

    ours = Server(
        name="ours",
        process=platform.processes["gateway"],
        port=platform.port,
        requests=SignedWebhooks(path=platform.webhook_path, secret=platform.webhook_secret),
        most=15_000,
        store=platform.postgres_pid,
    )
    return {
        "bare_asgi": await peer("bare_asgi", most=45_000),
        "ours": ours,
        "usual_design": await peer("usual_design", most=3_000, store=platform.postgres_pid),
        "rabbitmq_publish": await peer("rabbitmq_publish", most=4_000, store=broker.pid),
    }


Runs = dict[tuple[str, int], list[Run]]


async def _closed_loops(servers: dict[str, Server], options: Options) -> Runs:
    """A B C D, A B C D …, first once for nothing: connections, caches and code get warm."""
    runs: Runs = defaultdict(list)
    for server in servers.values():
        await _load(server, options.folder, connections=8, seconds=1)
    for number in range(options.rounds):
        for connections in CONNECTIONS:
            for name, server in servers.items():
                run = await _load(
                    server,
                    options.folder,
                    connections=connections,
                    seconds=options.seconds(SECONDS),
                )
                runs[name, connections].append(run)
            rates = ", ".join(
                f"{name} {runs[name, connections][-1].measured.rate:,.0f}/s" for name in servers
            )
            options.say(f"round {number + 1}, {connections} connections: {rates}")
    return runs


async def _load(server: Server, folder: Path, *, connections: int, seconds: float) -> Run:
    count = round(server.most * seconds)
    meter = CpuMeter(server=[server.process.pid], store=[server.store] if server.store else [])
    if _has_wrk():
        file = folder / "requests"
        size = server.requests.write(file, count)
        meter.start()
        measured = await wrk(server.port, file, size, connections=connections, seconds=seconds)
        used = meter.read()
        file.unlink()
    else:
        made = iter([next(server.requests) for _ in range(count)])
        meter.start()
        measured = await closed_loop(
            "127.0.0.1", server.port, made, connections=connections, seconds=seconds
        )
        used = meter.read()
    server.process.check()
    if measured.accepted != measured.count or measured.errors:
        raise RuntimeError(f"{server.name} refused: {measured.statuses}, {measured.errors} errors")
    return Run(measured=measured, server_cpu=used["server"], store_cpu=used["store"])


def _has_wrk() -> bool:
    return shutil.which("wrk") is not None


def _closed_rows(runs: Runs) -> list[Row]:
    rows = []
    for connections in CONNECTIONS:
        of = {name: each for (name, count), each in runs.items() if count == connections}
        prefix = f"ingest.c{connections}"
        rate = {name: [run.measured.rate for run in each] for name, each in of.items()}
        cpu = {name: [run.cpu for run in each] for name, each in of.items()}
        goal = {32: 0.33, 128: 0.40}[connections]
        rows += [
            row(f"{prefix}.vs_bare_asgi", ratios(rate["ours"], rate["bare_asgi"]), goal=goal),
            row(
                f"{prefix}.cpu_vs_bare_asgi",
                ratios(cpu["ours"], cpu["bare_asgi"]),
                goal=2.5,
                better="lower",
            ),
            row(f"{prefix}.vs_usual_design", ratios(rate["ours"], rate["usual_design"]), goal=12),
            row(
                f"{prefix}.vs_rabbitmq_publish",
                ratios(rate["ours"], rate["rabbitmq_publish"]),
                goal=5,
            ),
        ]
        for name, each in of.items():
            rows += _figures(f"{prefix}.{name}", each)
    return rows


def _figures(prefix: str, runs: list[Run]) -> list[Row]:
    p50 = [run.measured.milliseconds(0.5) for run in runs]
    p99 = [run.measured.milliseconds(0.99) for run in runs]
    return [
        row(f"{prefix}.rate", [run.measured.rate for run in runs], unit="req/s"),
        row(f"{prefix}.p50", p50, unit="ms", better="lower"),
        row(f"{prefix}.p99", p99, unit="ms", better="lower"),
        row(f"{prefix}.cpu", [run.cpu for run in runs], unit="µs/req", better="lower"),
        row(f"{prefix}.store_cpu", [run.store for run in runs], unit="µs/req", better="lower"),
    ]


async def _unaccounted(platform: Platform, runs: Runs) -> Row:
    """Answers whose row is not there. Requests that wrk cut off may have left a row more."""
    accepted = sum(
        run.measured.accepted for (name, _), each in runs.items() if name == "ours" for run in each
    )
    stored = await _stored(platform)
    missing = max(0, accepted - stored)
    note = f"{accepted} accepted, {stored} rows"
    return row("ingest.answers_without_row", [missing], goal=0, better="lower", note=note)


async def _paced(platform: Platform, ours: Server, options: Options) -> list[Row]:
    """At a given rate: first with the workers stopped, then while they drain what came."""
    before = await _stored(platform)
    alone = await _at_pace(ours, rate=300, seconds=options.seconds(30))
    for service in ("commerce-agent", "messenger"):
        platform.start(service)
    await until(lambda: all(_beats(platform, name) for name in ("commerce-agent", "messenger")))
    draining = await _at_pace(ours, rate=150, seconds=options.seconds(60))
    for process in platform.processes.values():
        process.check()
    waiting = await platform.database.fetchval(
        "SELECT count(*) FROM inbox_events WHERE state = 'received'"
    )
    accepted, stored = alone.accepted + draining.accepted, await _stored(platform) - before
    return [
        *_latencies("ingest.paced_300", alone, goal=25),
        *_latencies("ingest.paced_150_draining", draining, goal=100),
        row(
            "ingest.paced.answers_minus_rows",
            [abs(accepted - stored)],
            goal=0,
            better="lower",
            note=f"{accepted} accepted, {stored} rows, {waiting} not yet drained",
        ),
    ]


async def _at_pace(server: Server, *, rate: float, seconds: float) -> Measured:
    made = iter([next(server.requests) for _ in range(round(rate * seconds))])
    measured = await paced("127.0.0.1", server.port, made, rate=rate, seconds=seconds)
    if measured.accepted != measured.count or measured.errors:
        raise RuntimeError(f"{server.name} refused: {measured.statuses}, {measured.errors} errors")
    return measured


def _latencies(prefix: str, measured: Measured, *, goal: float) -> list[Row]:
    """Percentiles of the whole run; lo and hi are those of its thirds."""
    third = len(measured.latencies) // 3
    parts = [sorted(measured.latencies[start : start + third]) for start in (0, third, 2 * third)]

    def at(share: float, name: str, goal: float | None) -> Row:
        of_parts = [percentile(part, share) * 1000 for part in parts]
        return Row(
            id=f"{prefix}.{name}",
            value=measured.milliseconds(share),
            lo=min(of_parts),
            hi=max(of_parts),
            unit="ms",
            goal=goal,
            better="lower",
        )

    return [at(0.5, "p50", None), at(0.99, "p99", goal)]


def _beats(platform: Platform, service: str) -> bool:
    platform.processes[service].check()
    return (platform.folder / "run" / f"{service}.heartbeat").exists()


async def _stored(platform: Platform) -> int:
    stored = await platform.database.fetchval("SELECT count(*) FROM inbox_events")
    assert isinstance(stored, int)
    return stored
