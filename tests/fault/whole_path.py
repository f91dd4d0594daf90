"""The whole path of a message in one process: gateway, commerce agent and messenger over one
database, a fake WAHA and a model. Nothing happens until the test says so.

    async with open_path(database, waha, llm=llm) as path:
        await path.receives(path.shop.hooks.message("halo"))  # the gateway answers 200
        await path.settle()                                   # do all that is due, until nothing is
        await path.later(60)                                  # the database's clock, then settle
        await path.assert_clean()                             # the auditor
        await path.begin_anew()                               # for the next test: nothing is left

Collecting, typing and pace take no time; leases and waits are those of the product, passed by
moving the database's clock. Retries of model calls and circuits run in ``path.waits``.
"""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg
import httpx2

from commerce_agent.application.ports.shop_agent import ShopAgent
from commerce_agent.application.services.chatbot_orchestrator import ChatbotOrchestrator
from commerce_agent.application.services.conversation_service import ConversationService
from commerce_agent.application.services.customer_service import CustomerService
from commerce_agent.bootstrap import Container, assemble
from commerce_agent.infrastructure.cache.announcements import CacheAnnouncements
from commerce_agent.infrastructure.llm.crm_langgraph_runner import CRMLangGraphRunner
from commerce_agent.infrastructure.llm.model_directory import SqlModelDirectory
from commerce_agent.infrastructure.persistence.catalogue_search import SqlCatalogueSearch
from commerce_agent.infrastructure.persistence.product_queries import SqlProductQueries
from commerce_agent.infrastructure.persistence.unit_of_work import SqlUnitOfWork
from commerce_agent.infrastructure.waha.channel_servers import WahaChannelServers
from llm_worker.infrastructure.llm.circuit_breaker import CircuitBreakerRegistry
from llm_worker.infrastructure.llm.llm_factory import LLMFactory
from llm_worker.infrastructure.llm.model_call import ModelCaller, breaker_config
from messenger.bootstrap import make_routes
from shared.cache.memory import MemoryCache
from shared.config.settings import (
    ConversationSettings,
    HttpSettings,
    LlmSettings,
    PlatformSettings,
    QueueSettings,
    SecuritySettings,
    WahaSettings,
)
from shared.kernel.clock import utc_now
from shared.kernel.ids import ChannelId, ConversationId, TenantId, new_id
from shared.messaging.consume import consume
from shared.messaging.platform import Work, open_work
from shared.messaging.port import Queue, Route
from shared.persistence.database import Database
from shared.security.crypto import KeyRing
from shared.security.outbound import safe_transport
from tests.integration.gateway.conftest import PEPPER, running
from tests.support import rows
from tests.support.auditor import Auditor
from tests.support.fake_llm import FakeLlm
from tests.support.fake_waha import FakeWaha
from tests.support.postgres import TestDatabase
from tests.support.scripted_agent import ScriptedAgent, echo
from tests.support.until_idle import UntilIdle
from tests.support.waha_webhooks import CUSTOMER, Engine, Webhook, Webhooks
from tests.unit.llm_worker.infrastructure.fake_time import FakeTime

SESSION = "default"
_models = itertools.count(1)
_MANY_ROUNDS = 200
_SOON = """
    SELECT extract(epoch FROM min(available_at) - platform_now())::float8 + 0.01
    FROM queue_messages
    WHERE available_at > $1 AND available_at <= platform_now() + interval '2 seconds'
      AND lease_until IS NULL
"""
"""Counted from before the round that found nothing: what fell due during it was not seen there."""
_EVERYTHING = (
    "queue_messages", "dead_letters", "inbox_events", "domain_events", "early_events",
    "message_anomalies", "messages", "sends", "turn_steps", "turns", "conversations",
    "customer_aliases", "customers", "variants", "products", "channels", "llm_configs", "tenants",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A tenant with one number."""

    id: TenantId
    channel: ChannelId
    hooks: Webhooks

    @property
    def webhook(self) -> str:
        return f"/v1/crm/webhook/whatsapp/{self.id}/{self.channel}"


@dataclass
class WholePath:
    """Everything between a webhook and a bubble, and hands to move it step by step."""

    db: TestDatabase
    settings: PlatformSettings
    http: httpx2.AsyncClient
    work: Work
    agent: Container
    sending: Mapping[str, Route]
    waha: FakeWaha
    scripted: ScriptedAgent
    """Answers where no model was given."""
    waits: FakeTime
    """The time of retries and circuits."""
    circuits: CircuitBreakerRegistry
    auditor: Auditor
    llm: FakeLlm | None
    shop: Shop = field(init=False)
    model: str = "offline"
    """The configuration that the shop's model has, and the model's own name."""
    _offset: float = 0.0
    _dice: random.Random = field(default_factory=lambda: random.Random(7))

    async def begin_anew(self, *, engine: Engine = "NOWEB") -> None:
        """As after `open_path`, in a tenth of its time: no tenants, no past, one new shop, whose
        model has a circuit of its own."""
        await self.db.execute("".join(f"DELETE FROM {table};" for table in _EVERYTHING))
        self._offset = 0.0
        await self.db.jump(0)
        self.waits.slept.clear()
        self.scripted.default = echo
        self.scripted.turns.clear()
        self.scripted.seen.clear()
        self.waha.begin_anew(engine=engine)
        if self.llm is not None:
            self.llm.begin_anew()
            self.model = await a_model(self.db, self.llm)
        self.auditor = Auditor(
            self.db, wahas=[self.waha], llms=[self.llm] if self.llm is not None else []
        )
        self.shop = await self.a_shop(llm_config_name=self.model)

    async def a_shop(self, *, session: str = SESSION, **tenant: Any) -> Shop:
        """Another tenant, its number a session of the same WAHA."""
        tenant_id = await rows.a_tenant(self.db, **tenant)
        channel = await rows.a_channel(self.db, tenant_id, base_url=self.waha.url, session=session)
        hooks = Webhooks(engine=self.waha.engine, session=session, push_name=None)
        return Shop(id=tenant_id, channel=channel, hooks=hooks)

    @property
    def now(self) -> float:
        """The database's clock, for phones that agree with it."""
        return time.time() + self._offset

    async def use_model(self, shop: Shop | None = None, **columns: Any) -> str:
        """Give a shop another model of ``llm``, with these columns."""
        assert self.llm is not None
        name = await a_model(self.db, self.llm, **columns)
        await self.db.execute(
            "UPDATE tenants SET llm_config_name = $1 WHERE id = $2", name, (shop or self.shop).id
        )
        return name

    async def deliver(self, webhook: Webhook, *, to: Shop | None = None) -> httpx2.Response:
        """What WAHA's delivery is answered."""
        shop = to or self.shop
        answer = await self.http.post(shop.webhook, content=webhook.body, headers=webhook.headers)
        if answer.is_success:
            self.auditor.accepted(shop.id, webhook.body)
        return answer

    async def receives(self, *webhooks: Webhook, to: Shop | None = None) -> None:
        """Deliver one after the other; each is accepted."""
        for webhook in webhooks:
            answer = await self.deliver(webhook, to=to)
            assert answer.status_code == 200, answer.text

    async def reports(self, *, before_answer: bool = False) -> None:
        """WAHA reports what was sent, as its webhook does."""
        self.waha.echo(
            f"http://localhost:8000{self.shop.webhook}",
            client=self.http,
            before_answer=before_answer,
        )

    async def settle(self) -> int:
        """Do all that is due until nothing is, nor will be within a moment (who found no place, or
        another before it, looks again after a second or two); how many claims that took."""
        total = 0
        for _ in range(_MANY_ROUNDS):
            before = await self.db.fetchval("SELECT platform_now()")
            if claims := await self._round():
                total += claims
                continue
            soon = await self.db.fetchval(_SOON, before)
            if soon is None:
                return total
            assert isinstance(soon, float)
            await self.jump(max(soon, 0))
        raise AssertionError(f"it goes on and on: {await self.planned()}")

    async def _round(self) -> int:
        claimed = 0
        for queue, routes in (
            (Queue.CRM_TASKS, self.agent.routes),
            (Queue.WA_MESSAGES, self.sending),
        ):
            stop = asyncio.Event()
            until_idle = UntilIdle(self.work.queue, stop)
            await consume(
                until_idle, [queue], routes, stop=stop, settings=self.settings.queue, rng=self._dice
            )
            claimed += until_idle.claimed
        return claimed

    async def jump(self, seconds: float) -> None:
        """Move the database's clock, for everybody; what is due then is not done yet."""
        self._offset += seconds
        self.waits.now += max(seconds, 0)
        await self.db.jump(self._offset)

    async def jump_to_today(self) -> None:
        """Undo all jumps."""
        await self.jump(-self._offset)

    async def later(self, seconds: float) -> int:
        await self.jump(seconds)
        return await self.settle()

    async def rest(self, *, step: float = 60, at_most: int = 60) -> None:
        """Let time pass until no work is planned any more."""
        for _ in range(at_most):
            await self.settle()
            if not await self.count("queue_messages"):
                return
            await self.jump(step)
        raise AssertionError(f"still planned: {await self.planned()}")

    async def planned(self) -> list[str]:
        found = await self.db.fetch("SELECT kind FROM queue_messages ORDER BY available_at")
        return [row["kind"] for row in found]

    async def assert_clean(self) -> None:
        await self.auditor.assert_clean()

    # -- what there is to see -----------------------------------------------------------------

    async def fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        return await self.db.fetch(sql, *arguments)

    async def one(self, sql: str, *arguments: object) -> Any:
        """The only row."""
        (row,) = await self.db.fetch(sql, *arguments)
        return row

    async def count(self, table: str, where: str = "true") -> int:
        number = await self.db.fetchval(f"SELECT count(*) FROM {table} WHERE {where}")
        assert isinstance(number, int)
        return number

    async def conversation(self, chat: str = CUSTOMER) -> Any:
        return await self.one("SELECT * FROM conversations WHERE address = $1", chat)

    async def conversation_id(self, chat: str = CUSTOMER) -> ConversationId:
        return ConversationId((await self.conversation(chat))["id"])

    async def answered(self) -> dict[str, str | None]:
        """How each customer's message came to rest, by its text."""
        found = await self.db.fetch(
            "SELECT body, answered_how FROM messages WHERE direction = 'in' AND kind = 'message'"
        )
        return {row["body"]: row["answered_how"] for row in found}

    async def owner(self, chat: str = CUSTOMER) -> str:
        return str((await self.conversation(chat))["owner"])

    async def journal(self) -> list[str]:
        """The kinds of all turns' steps, in order."""
        found = await self.db.fetch("SELECT kind FROM turn_steps ORDER BY turn_id, step, call")
        return [row["kind"] for row in found]

    def said(self, chat: str = CUSTOMER) -> list[str | None]:
        """What the customer got."""
        return self.waha.texts(chat)


@asynccontextmanager
async def open_path(
    db: TestDatabase,
    waha: FakeWaha,
    *,
    llm: FakeLlm | None = None,
    conversation: Mapping[str, Any] | None = None,
    waha_settings: Mapping[str, Any] | None = None,
    llm_settings: Mapping[str, Any] | None = None,
    queue: Mapping[str, Any] | None = None,
    look_up_time: timedelta = timedelta(seconds=10),
) -> AsyncIterator[WholePath]:
    """Open everything, with one shop. With ``llm`` the real agent answers, through its provider
    ``openai_compatible``; without, `ScriptedAgent`."""
    allowed = ("127.0.0.1",)
    settings = PlatformSettings(
        database=db.settings,
        security=SecuritySettings(
            master_key=rows.MASTER_KEY, api_key_pepper=PEPPER, outbound_allow_hosts=allowed
        ),
        conversation=ConversationSettings(
            **{"message_buffer_initial_delay": 0, "message_buffer_max_delay": 0}
            | dict(conversation or {})
        ),
        waha=WahaSettings(
            **{"send_pace_seconds": 0, "typing_seconds_per_character": 0}
            | dict(waha_settings or {})
        ),
        llm=LlmSettings(**dict(llm_settings or {})),
        queue=QueueSettings(**dict(queue or {})),
        http=HttpSettings(simulator_enabled=True),
    )
    waits, scripted, cache = FakeTime(), ScriptedAgent(), MemoryCache()
    circuits = CircuitBreakerRegistry(breaker_config(settings.llm), monotonic=waits.monotonic)
    keys = KeyRing(rows.MASTER_KEY)
    async with AsyncExitStack() as opened:
        http = await opened.enter_async_context(running(settings))
        work = await opened.enter_async_context(open_work(settings))
        transport = await opened.enter_async_context(safe_transport(allowed))
        conversations = ConversationService(
            partial(SqlUnitOfWork, work.database), CacheAnnouncements(cache)
        )
        agent: ShopAgent = scripted
        if llm is not None:
            factory = LLMFactory(settings.llm, transport=lambda: safe_transport(allowed))
            opened.push_async_callback(factory.aclose)
            caller = ModelCaller(
                factory,
                circuits,
                settings.llm,
                sleep=waits.sleep,
                dice=random.Random(7),
                monotonic=waits.monotonic,
            )
            agent = _with_models(caller, work.database, keys, conversations, waits)
        path = WholePath(
            db=db,
            settings=settings,
            http=http,
            work=work,
            agent=assemble(
                settings,
                work,
                keys,
                cache,
                conversations,
                agent,
                WahaChannelServers(keys, allowed, look_up_time),
            ),
            sending=make_routes(settings, work.database, cache, transport, random=random.Random(7)),
            waha=waha,
            scripted=scripted,
            waits=waits,
            circuits=circuits,
            auditor=Auditor(db),
            llm=llm,
        )
        await path.begin_anew(engine=waha.engine)
        yield path


def _with_models(
    caller: ModelCaller,
    database: Database,
    keys: KeyRing,
    conversations: ConversationService,
    waits: FakeTime,
) -> ShopAgent:
    """The product's agent over a caller whose time is the test's."""
    return ChatbotOrchestrator(
        build_runner=lambda executors: CRMLangGraphRunner(
            caller, executors, monotonic=waits.monotonic
        ),
        models=SqlModelDirectory(database, keys),
        search=SqlCatalogueSearch(database),
        products=SqlProductQueries(database),
        customers=CustomerService(partial(SqlUnitOfWork, database), utc_now),
        conversations=conversations,
    )


async def a_model(db: TestDatabase, llm: FakeLlm, **columns: Any) -> str:
    """A model of the platform that ``llm`` serves; its configuration's name."""
    name = f"fake-{next(_models)}"
    defaults: dict[str, Any] = {
        "id": new_id(),
        "name": name,
        "provider": "openai_compatible",
        "model": name,
        "base_url": llm.openai_url,
        "temperature": 0.0,
    }
    await rows.insert(db, "llm_configs", defaults | columns)
    return str((defaults | columns)["name"])
