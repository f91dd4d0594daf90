"""End to end: webhook in, WAHA call out, through real gateway, commerce agent and messenger.

A conversation writes three bubbles, 0.4 s apart. Counted is the time from the moment its last
webhook was due to be sent until WAHA's ``sendText`` is called with the reply, minus the collect
window (2 s of quiet) and the model's 200 ms. WAHA and the model are stubs in a process of their
own. Pacing and typing are 0, except in the rows that say otherwise.

Ten conversations begin each second: with about a tenth of a second of CPU for each, database
included, what is counted on two cores is not a queue for the CPU; twenty would be one.

The backlog is 20,000 accepted webhooks, ten of each of 2,000 conversations, with no worker running;
then the workers start. A message is drained when it is stored; the rate is that of the time until
all are stored and answered, or until the time is up. Memory is flat when the workers hold in the
second half of the drain what they held in the first, once warm: the first third of the samples
(imports, connections, prepared statements, the allocator's arenas) is left out.

Each part ends with the auditor: a run that broke a promise is a failed run, however fast.
"""

import asyncio
import itertools
import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import httpx2

from ai_platform.audit.audit import audit_database
from ai_platform.audit.rules import Bounds
from bench.in_flight import Stubs, model_and_waha
from bench.load import Connections, request_bytes
from bench.machine import cpu_seconds, resident_mib
from bench.platform import Platform
from bench.report import Row, percentile, row
from bench.runner import Options
from bench.shop import MODEL
from shared.kernel.ids import ChannelId, TenantId, new_id
from tests.support import rows
from tests.support.postgres import TestDatabase
from tests.support.redis import RedisForTests
from tests.support.waha_webhooks import Webhooks

CONVERSATIONS = 2000
BUBBLES = 3
BETWEEN_BUBBLES = 0.4
PER_SECOND = 10.0
"""Conversations that begin each second."""
CHANNELS = 100
TENANTS = 20
PACED_CONVERSATIONS = 300
BACKLOG = 20_000
BACKLOG_BUBBLES = 10
DRAIN_SECONDS = 600.0
"""Longest wait until everything that was written is answered."""
LLM_SECONDS = 0.2
QUIET_SECONDS = 2.0
WORKERS = ("commerce-agent", "messenger")
SETTINGS = {
    "MASTER_KEY": rows.MASTER_KEY.get_secret_value(),
    "OUTBOUND_ALLOW_HOSTS": "127.0.0.1",
    "MESSAGE_BUFFER_INITIAL_DELAY": str(QUIET_SECONDS),
}
NO_PACE = {"SEND_PACE_SECONDS": "0", "TYPING_SECONDS_PER_CHARACTER": "0"}


@dataclass(frozen=True, kw_only=True)
class Number:
    """A WhatsApp number that the shops are reached by."""

    tenant: TenantId
    channel: ChannelId
    hooks: Webhooks

    def request(self, text: str, chat: str) -> bytes:
        said = self.hooks.message(text, chat=chat)
        path = f"/v1/crm/webhook/whatsapp/{self.tenant}/{self.channel}"
        headers = [(name, value) for name, value in said.headers.items() if name != "content-type"]
        return request_bytes(path, said.body, headers)


class EndToEnd:
    name = "end-to-end"
    title = "End to end: webhook to WAHA call, with gateway, commerce agent and messenger"

    async def run(self, options: Options) -> list[Row]:
        scale = options.scale * (0.05 if options.quick else 1)
        found: list[Row] = []
        async with AsyncExitStack() as entered:
            redis = entered.enter_context(RedisForTests(private=True))
            stubs = await entered.enter_async_context(model_and_waha(LLM_SECONDS))
            settings = {**SETTINGS, "REDIS_URL": redis.url}
            for part in (_answers, _answers_with_pace, _backlog):
                pace = {} if part is _answers_with_pace else NO_PACE
                async with a_platform(options, settings | pace, stubs) as bench:
                    found += await part(bench, options, scale)
        options.notes[self.name] = (
            f"{_count(CONVERSATIONS, scale)} conversations of {BUBBLES} bubbles over {CHANNELS} "
            f"channels of {TENANTS} shops, {PER_SECOND:g} begin each second; pacing and typing 0, "
            "the rows named paced with the defaults (1 s between two messages of a number, 0.03 s "
            "of typing per character). What dominates: the CPU of three stores, a turn and a send "
            "for each conversation, of which round trips to PostgreSQL are the larger part; "
            "client, stubs, database and services share the cores. The backlog is bound by the "
            "CPU of a store: three transactions of 21 statements in all for each message."
        )
        return found


def _count(whole: int, scale: float) -> int:
    return max(10, round(whole * scale))


# -- parts -----------------------------------------------------------------------------------------


async def _answers(bench: "Bench", options: Options, scale: float) -> list[Row]:
    return await _conversations(bench, options, "end_to_end", _count(CONVERSATIONS, scale))


async def _answers_with_pace(bench: "Bench", options: Options, scale: float) -> list[Row]:
    count = _count(PACED_CONVERSATIONS, scale)
    return await _conversations(bench, options, "end_to_end.paced", count)


async def _conversations(bench: "Bench", options: Options, name: str, count: int) -> list[Row]:
    options.say(f"{name}: {count} conversations of {BUBBLES} bubbles, {PER_SECOND:g} a second")
    for service in WORKERS:
        bench.platform.start(service)
    await bench.ready()
    used = bench.cpu()
    last = await bench.write(count, bubbles=BUBBLES)
    drained = await bench.drained(within=DRAIN_SECONDS)
    spent = (bench.cpu() - used) / count * 1000
    called = await bench.called()
    first = {chat: min(at for _, at in calls) for chat, calls in called.items()}
    late = sorted(
        first[chat] - sent - QUIET_SECONDS - LLM_SECONDS
        for chat, sent in last.items()
        if chat in first
    )
    answered = row(f"{name}.answered", [len(late) / count], goal=1.0, note="of all conversations")
    return [
        row(f"{name}.p50", [percentile(late, 0.5) * 1000], unit="ms", better="lower"),
        row(f"{name}.p95", [percentile(late, 0.95) * 1000], unit="ms", better="lower"),
        answered,
        row(f"{name}.cpu", [spent], unit="ms", better="lower", note="per conversation, all of it"),
        row(f"{name}.connections", [bench.most_connections], goal=50, better="lower"),
        await bench.audited(name, drained=drained),
    ]


async def _backlog(bench: "Bench", options: Options, scale: float) -> list[Row]:
    name, messages = "backlog", _count(BACKLOG, scale)
    options.say(f"{name}: {messages} accepted webhooks, then the workers start")
    await bench.write(messages // BACKLOG_BUBBLES, bubbles=BACKLOG_BUBBLES, at_once=True)
    for service in WORKERS:
        bench.platform.start(service)
    await bench.ready()
    used, began = bench.cpu(), time.monotonic()
    memory = bench.watch_memory()
    drained = await bench.drained(within=DRAIN_SECONDS)
    took = time.monotonic() - began
    stored = await bench.stored()
    grown = memory.grown()
    done = "all stored and answered" if drained else f"{stored} stored when the time was up"
    return [
        row(f"{name}.rate", [stored / took], unit="/s", note=done),
        row(
            f"{name}.cpu",
            [(bench.cpu() - used) / max(stored, 1) * 1000],
            unit="ms",
            better="lower",
            note="per message, all of it",
        ),
        row(
            f"{name}.memory",
            [grown],
            goal=1.15,
            better="lower",
            note="agent and messenger, second half over first, the first third left out",
        ),
        row(f"{name}.connections", [bench.most_connections], goal=50, better="lower"),
        await bench.audited(name, drained=drained),
    ]


# -- the platform under load -----------------------------------------------------------------------


@asynccontextmanager
async def a_platform(
    options: Options, settings: dict[str, str], stubs: Stubs
) -> AsyncIterator["Bench"]:
    """Gateway and database with all shops; the workers are started by the parts."""
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    async with Platform(folder, settings=settings) as platform:
        numbers = await _numbers(platform.database, stubs)
        bench = Bench(platform, numbers, stubs)
        watching = asyncio.create_task(bench.watch_connections())
        try:
            yield bench
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def _numbers(db: TestDatabase, stubs: Stubs) -> Sequence[Number]:
    await db.execute(
        "INSERT INTO llm_configs (id, name, provider, model, base_url, temperature, max_tokens)"
        " VALUES ($1, $2, 'openai_compatible', 'fake', $3, 0, 1024)",
        new_id(),
        MODEL,
        stubs.model_url,
    )
    found: list[Number] = []
    for shop in range(TENANTS):
        tenant = await rows.a_tenant(db, name=f"Kopi {shop}", llm_config_name=MODEL)
        for number in range(CHANNELS // TENANTS):
            session, secret = f"s{shop}-{number}", f"secret of {shop}-{number}"
            channel = await rows.a_channel(
                db, tenant, session=session, base_url=stubs.waha_url, webhook_secret=secret
            )
            hooks = Webhooks(session=session, secret=secret)
            found.append(Number(tenant=tenant, channel=channel, hooks=hooks))
    return found


class Bench:
    """Writes as customers do, and sees what comes of it."""

    def __init__(self, platform: Platform, numbers: Sequence[Number], stubs: Stubs) -> None:
        self.platform = platform
        self.most_connections = 0
        self._numbers = numbers
        self._stubs = stubs
        self._chats = itertools.count(1)

    async def ready(self) -> None:
        """Wait until the workers say that they work."""
        beats = [self.platform.folder / "run" / f"{name}.heartbeat" for name in WORKERS]
        async with asyncio.timeout(120):
            while not all(beat.exists() for beat in beats):
                for process in self.platform.processes.values():
                    process.check()
                await asyncio.sleep(0.1)

    async def write(self, count: int, *, bubbles: int, at_once: bool = False) -> dict[str, float]:
        """Let so many conversations write; when each wrote its last bubble."""
        written = sorted(self._bubbles(count, bubbles, at_once), key=lambda each: each[0])
        gateway = Connections("127.0.0.1", self.platform.port)
        last: dict[str, float] = {}
        most = asyncio.Semaphore(64)
        began = time.monotonic()

        async def send(chat: str, request: bytes) -> None:
            async with most:
                last[chat] = time.monotonic()
                status = await gateway.ask(request)
            if status != 200:
                raise RuntimeError(f"a webhook was answered {status}")

        async with asyncio.TaskGroup() as group:
            for at, chat, request in written:
                if (wait := began + at - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                group.create_task(send(chat, request))
        gateway.close()
        return last

    def _bubbles(
        self, count: int, bubbles: int, at_once: bool
    ) -> Iterator[tuple[float, str, bytes]]:
        for number in range(count):
            chat = f"62{next(self._chats):010d}@c.us"
            shop = self._numbers[number % len(self._numbers)]
            for bubble in range(bubbles):
                at = 0.0 if at_once else number / PER_SECOND + bubble * BETWEEN_BUBBLES
                yield at, chat, shop.request(f"Ada kopi susu, kak? ({bubble + 1})", chat)

    async def drained(self, *, within: float) -> bool:
        """Wait until nothing is left to do; ``False``: the time was up first."""
        ends = time.monotonic() + within
        while time.monotonic() < ends:
            if not await self._number("SELECT count(*) FROM queue_messages"):
                return True
            await asyncio.sleep(0.5)
        return False

    async def stored(self) -> int:
        return await self._number("SELECT count(*) FROM inbox_events WHERE state <> 'received'")

    async def _number(self, query: str) -> int:
        number = await self.platform.database.fetchval(query)
        assert isinstance(number, int)
        return number

    async def called(self) -> dict[str, list[tuple[str, float]]]:
        """What WAHA was told to send, by chat."""
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
            answer = await client.get(f"{self._stubs.waha_url}/ledger")
        ledger: list[Any] = json.loads(answer.content)
        calls: dict[str, list[tuple[str, float]]] = {}
        for chat, text, at in ledger:
            calls.setdefault(chat, []).append((text, at))
        return calls

    def cpu(self) -> float:
        """Seconds that our services and the database have used so far."""
        pids = [process.pid for process in self.platform.processes.values()]
        return cpu_seconds([*pids, self.platform.postgres_pid])

    def watch_memory(self) -> "Memory":
        return Memory([self.platform.processes[name].pid for name in WORKERS])

    async def watch_connections(self) -> None:
        """Remember the most connections that our services had at once."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'platform_app'"
        while True:
            self.most_connections = max(self.most_connections, await self._number(query))
            await asyncio.sleep(1)

    async def audited(self, name: str, *, drained: bool) -> Row:
        """Violations that the auditor found; one is one too many.

        What still waited when the time was up is slow and not wrong: it may be as old as the run.
        """
        bounds = Bounds() if drained else Bounds(work=timedelta(hours=1))
        async with self.platform.database.admin() as connection:
            broken = await audit_database(connection, settled=drained, bounds=bounds)
        worst = sorted({violation.rule for violation in broken})
        note = f"FAILED RUN: {', '.join(worst)}" if broken else "the auditor found nothing"
        return row(f"{name}.violations", [len(broken)], goal=0, better="lower", note=note)


class Memory:
    """Memory of processes, sampled while they work."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._samples: list[float] = []
        self._task = asyncio.create_task(self._sample())

    async def _sample(self) -> None:
        while True:
            self._samples.append(resident_mib(self._pids))
            await asyncio.sleep(1)

    def grown(self) -> float:
        """The median of the second half over that of the first; the first third does not count."""
        self._task.cancel()
        warm = self._samples[len(self._samples) // 3 :]
        half = len(warm) // 2
        return median(warm[half:]) / median(warm[: max(half, 1)])
