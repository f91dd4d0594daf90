"""The whole way of a message in one process, every step in the test's hand.

The conversation desk stores events and runs turns; beside it here: a messenger that speaks HTTP to
a fake WAHA, whose answers can be held back, and a broker that loses hints when told to.
"""

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import asyncpg
import httpx2

from commerce_agent.application.ports.shop_agent import AgentOutcome, EffectKey, Journal, Turn
from commerce_agent.application.services.customer_service import CustomerService
from commerce_agent.application.services.turn_journal import TurnJournal
from commerce_agent.domain.repositories.conversation_repository import Lease
from commerce_agent.domain.value_objects.ids import CustomerId
from messenger.bootstrap import make_routes
from shared.config.settings import PlatformSettings, SecuritySettings, WahaSettings
from shared.kernel.clock import utc_now
from shared.kernel.ids import new_id
from shared.messaging.consume import consume
from shared.messaging.port import Claim, ClaimLost, Postpone, Queue
from shared.messaging.relay import Relay
from shared.messaging.rows import QueueRows
from shared.messaging.topology import row_id
from shared.security.outbound import safe_transport
from tests.integration.commerce_agent.conversation.conftest import Desk, open_desk
from tests.integration.messenger.conftest import OneRound
from tests.support import rows
from tests.support.fake_waha import FakeWaha
from tests.support.postgres import TestDatabase, plain
from tests.support.scripted_agent import Barrier

LEASE_OVER = 40.0
"""Seconds after which the leases of a worker that sleeps have run out."""
CALL_OVER = 70.0
"""Seconds after a claim when no call of it can be running."""

_TABLES = (
    "queue_messages", "dead_letters", "inbox_events", "domain_events", "early_events",
    "message_anomalies", "messages", "sends", "turn_steps", "turns", "conversations",
    "customer_aliases", "customers", "channels", "tenants",
)  # fmt: skip


class PowerCut(BaseException):
    """The process is gone: nothing that would run afterwards runs."""


async def power_cut(turn: Turn, journal: Journal) -> AgentOutcome:
    """An agent's behaviour: the worker dies in the middle of its turn."""
    raise PowerCut


class Line(httpx2.AsyncBaseTransport):
    """The wire from messenger to WAHA. Answers to what it sends can be held back, and whatever the
    test wants can happen instead of a call."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner
        self._held: deque[Barrier] = deque()
        self._errors: defaultdict[str, deque[BaseException]] = defaultdict(deque)

    def hold_answer(self) -> Barrier:
        """Of the next text: the server has done it, the messenger hears so when the test says."""
        self._held.append(barrier := Barrier())
        return barrier

    def instead_of(self, path: str, *errors: BaseException) -> None:
        """The next calls to ``path`` are not made; this is raised in their place."""
        self._errors[path].extend(errors)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self._errors[request.url.path]:
            raise self._errors[request.url.path].popleft()
        response = await self._inner.handle_async_request(request)
        if request.url.path == "/api/sendText" and self._held:
            await self._held.popleft().here()
        return response


class LossyBroker:
    """As much of a channel as a relay needs, and hints that can get lost."""

    def __init__(self) -> None:
        self._hints: defaultdict[str, list[bytes]] = defaultdict(list)
        self.default_exchange = self

    async def declare_queue(self, name: str, **_: object) -> Any:
        count = len(self._hints[name])
        return SimpleNamespace(declaration_result=SimpleNamespace(message_count=count))

    async def publish(self, message: Any, routing_key: str, **_: object) -> None:
        self._hints[routing_key].append(message.body)

    def take(self, queue: Queue) -> list[UUID]:
        """The rows that the queue's hints name; the hints are used up."""
        named = [row_id(body) for body in self._hints.pop(queue.value, [])]
        assert None not in named
        return [row for row in named if row is not None]

    def lose(self) -> int:
        """Forget every hint; how many there were."""
        lost = sum(len(hints) for hints in self._hints.values())
        self._hints.clear()
        return lost


@dataclass
class ModelDesk:
    """A shop whose messages go all the way, one step at a time."""

    desk: Desk
    waha: FakeWaha
    line: Line
    settings: PlatformSettings
    clock: Callable[[], float] = lambda: 0.0
    """The messenger's own clock."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.desk, name)

    # -- the messenger --------------------------------------------------------------------------

    @property
    def messenger(self) -> Any:
        """The routes of a messenger that has just started."""
        return make_routes(
            self.settings,
            self.desk.work.database,
            self.desk.cache,
            self.line,
            monotonic=self.clock,
            sleep=lambda _: asyncio.sleep(0),
            random=random.Random(7),
        )

    async def claim_bubble(self) -> Claim:
        """Lease the one bubble that is due."""
        (claim,) = await self.desk.work.queue.claim(Queue.WA_MESSAGES, 5, wait=timedelta(0))
        return claim

    async def send(self, claim: Claim) -> str:
        """Handle a bubble's claim and end it as the consume loop would."""
        try:
            await self.messenger["send"].handle(claim)
        except ClaimLost:
            return "lost"
        except Postpone as postponed:
            await self.desk.work.queue.release(claim, delay=postponed.delay)
            return "postponed"
        return "done"

    def sending(self, claim: Claim) -> "asyncio.Task[str]":
        """Begin to send beside the test."""
        return asyncio.create_task(self.send(claim))

    async def send_all(self) -> None:
        """Handle every bubble that is due until none is."""
        while claims := await self.desk.work.queue.claim(Queue.WA_MESSAGES, 5, wait=timedelta(0)):
            for claim in claims:
                await self.send(claim)

    async def bubble(self, send_id: object = None) -> asyncpg.Record:
        """One bubble as it stands; without an id the only one."""
        (row,) = await self.desk.db.fetch(
            "SELECT * FROM sends WHERE $1::uuid IS NULL OR id = $1", send_id
        )
        return row

    # -- the consume loop -----------------------------------------------------------------------

    async def consume(self, queue: Queue) -> None:
        """Let the real consume loop do everything that is due, and decide what its errors mean."""
        stop = asyncio.Event()
        routes = self.messenger if queue is Queue.WA_MESSAGES else self.desk.container.routes
        await consume(
            OneRound(self.desk.work.queue, stop),
            [queue],
            routes,
            stop=stop,
            settings=self.settings.queue,
        )

    async def queued(self, queue: Queue) -> list[asyncpg.Record]:
        return await self.desk.db.fetch(
            "SELECT *, extract(epoch FROM available_at - platform_now())::float8 AS due_in"
            " FROM queue_messages WHERE queue = $1 ORDER BY position, id",
            queue.value,
        )

    # -- hints ----------------------------------------------------------------------------------

    def relay(self, queue: Queue) -> Any:
        """A relay of one queue, which the test makes look and sweep."""
        return Relay(
            self.desk.work.database,
            None,  # type: ignore[arg-type] # nobody is to be woken
            queue,
            url="",
            name=queue.value,
            poll=timedelta(seconds=1),
            sweep=timedelta(seconds=5),
            window=1000,
            rng=random.Random(1),
        )

    async def follow(self, queue: Queue, hints: list[UUID]) -> list[Claim]:
        """Claim what hints name, as a worker with RabbitMQ does."""
        keeper = QueueRows(self.desk.work.database, timedelta(seconds=30))
        return list((await keeper.claim_named(queue, hints)).claims)

    # -- a tool that may happen once --------------------------------------------------------------

    async def note(self, effect: EffectKey) -> str:
        """An effect that shows how often it happened: it adds a letter to the customer's note."""
        before = await self.effects()
        return await CustomerService(self.desk.container.turns.uow, utc_now).update_profile(
            self.desk.tenant,
            CustomerId((await self.desk.conversation())["customer_id"]),
            note="x" * (before + 1),
            effect=effect,
        )

    def journal_of(self, turn: Turn) -> TurnJournal:
        """The journal as the worker holds it that ran this turn, at its first step."""
        return TurnJournal(
            uow=self.desk.container.turns.uow,
            tenant_id=self.desk.tenant,
            turn_id=turn.id,
            lease=Lease(
                conversation_id=turn.conversation_id, worker=new_id(), epoch=turn.lease_epoch
            ),
            owner_epoch=turn.owner_epoch,
            entries=[],
            next_step=1,
        )

    async def effects(self) -> int:
        """How often the tool's effect happened."""
        note = await self.desk.db.fetchval("SELECT coalesce(note, '') FROM customers")
        assert isinstance(note, str)
        return len(note)


@dataclass(frozen=True)
class PooledDatabase(TestDatabase):
    """A test's database that is looked at often: connections above row-level security stay open."""

    __test__ = False

    pool: asyncpg.Pool = None  # type: ignore[assignment]

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[asyncpg.Connection]:
        async with self.pool.acquire() as connection:
            yield connection


@asynccontextmanager
async def pooled(db: TestDatabase) -> AsyncIterator[PooledDatabase]:
    """The same database, quicker to look into."""
    async with asyncpg.create_pool(plain(db.admin_url), min_size=1, max_size=4) as pool:
        yield PooledDatabase(**vars(db), pool=pool)


async def empty(db: TestDatabase) -> None:
    """Leave nothing of an earlier test, its time included: quicker than another database."""
    await db.execute("".join(f"DELETE FROM {table};" for table in _TABLES))
    await db.jump(0)


@asynccontextmanager
async def open_model_desk(db: TestDatabase, **chat: Any) -> AsyncIterator[ModelDesk]:
    """A model desk over this database; ``chat`` changes the conversation settings."""
    async with (
        FakeWaha() as waha,
        open_desk(db, waha=waha, **chat) as desk,
        safe_transport((waha.host,)) as transport,
    ):
        settings = PlatformSettings(
            database=db.settings,
            waha=WahaSettings(send_pace_seconds=0, typing_seconds_per_character=0),
            security=SecuritySettings(
                master_key=rows.MASTER_KEY, outbound_allow_hosts=(waha.host,)
            ),
        )
        yield ModelDesk(desk=desk, waha=waha, line=Line(transport), settings=settings)
