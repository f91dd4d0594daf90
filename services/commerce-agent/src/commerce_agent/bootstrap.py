"""The composition root of the commerce agent: every object is built here, in plain sight.

The model's libraries are imported only when the agent is built, so that help texts, migrations and
tests with an agent of their own never wait for them.
"""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from commerce_agent.application.handlers.wa_message_handler import WAMessageHandler
from commerce_agent.application.ports.callbacks import CallbackSender
from commerce_agent.application.ports.channel_server import ChannelServers
from commerce_agent.application.ports.shop_agent import ShopAgent
from commerce_agent.application.services.callback_service import CallbackService, Lines
from commerce_agent.application.services.conversation_service import ConversationService
from commerce_agent.application.services.customer_service import CustomerService
from commerce_agent.application.services.gap_repair import GapRepairService
from commerce_agent.application.services.message_changes import MessageChanges
from commerce_agent.application.services.message_intake import MessageIntake
from commerce_agent.application.services.own_messages import OwnMessages
from commerce_agent.application.services.turn_limits import TurnLimits
from commerce_agent.application.services.turn_service import TurnService
from commerce_agent.application.unit_of_work import UnitOfWorkFactory
from commerce_agent.domain.services.turn_rules import BufferRule
from commerce_agent.infrastructure.cache.announcements import CacheAnnouncements
from commerce_agent.infrastructure.cache.conversation_cache import ConversationCache
from commerce_agent.infrastructure.persistence.callbacks import SqlCallbackDesk
from commerce_agent.infrastructure.persistence.catalogue_search import SqlCatalogueSearch
from commerce_agent.infrastructure.persistence.product_queries import SqlProductQueries
from commerce_agent.infrastructure.persistence.sweeps import SqlSweeper
from commerce_agent.infrastructure.persistence.unit_of_work import SqlUnitOfWork
from commerce_agent.infrastructure.waha.channel_servers import WahaChannelServers
from commerce_agent.infrastructure.webhooks.http_callbacks import HttpCallbackSender
from commerce_agent.interface.handlers.routes import task_routes
from shared.cache.open import open_cache
from shared.cache.port import Cache
from shared.config.settings import PlatformSettings
from shared.kernel.clock import utc_now
from shared.messaging.platform import Work
from shared.messaging.port import Route
from shared.persistence.database import Database
from shared.security.crypto import KeyRing, WeakKey

if TYPE_CHECKING:
    from llm_worker.infrastructure.llm.circuit_breaker import CircuitBreakerRegistry

_LOOK_UP_TIME: Final = timedelta(seconds=10)
"""Longest wait for one answer of a WAHA server about identities or history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What the worker runs, and what tests look at."""

    work: Work
    routes: Mapping[str, Route]
    sweeper: SqlSweeper
    conversations: ConversationService
    messages: WAMessageHandler
    turns: TurnService
    repair: GapRepairService


@asynccontextmanager
async def build(
    settings: PlatformSettings,
    work: Work,
    agent: ShopAgent | None = None,
    circuits: "CircuitBreakerRegistry | None" = None,
) -> AsyncIterator[Container]:
    """Build everything over an open database and queue. ``agent`` takes the place of the one with
    models, whose libraries then are not loaded. ``circuits`` are those of a process in which the
    LLM worker runs too, and shows them.

    Raises:
        WeakKey: MASTER_KEY is missing or not a key.
    """
    if settings.security.master_key is None:
        raise WeakKey("MASTER_KEY is not set")
    keys = KeyRing(settings.security.master_key)
    async with (
        open_cache(settings.cache) as cache,
        aclosing(HttpCallbackSender(settings.security.outbound_allow_hosts)) as sender,
    ):
        conversations = ConversationService(
            partial(SqlUnitOfWork, work.database), CacheAnnouncements(cache)
        )
        if agent is not None:
            yield assemble(settings, work, keys, cache, conversations, agent, sender=sender)
            return
        async with _open_agent(
            settings, work.database, keys, cache, conversations, circuits
        ) as with_models:
            yield assemble(settings, work, keys, cache, conversations, with_models, sender=sender)


def assemble(
    settings: PlatformSettings,
    work: Work,
    keys: KeyRing,
    cache: Cache,
    conversations: ConversationService,
    agent: ShopAgent,
    servers: ChannelServers | None = None,
    sender: CallbackSender | None = None,
) -> Container:
    """Put the parts together."""
    uow: UnitOfWorkFactory = partial(SqlUnitOfWork, work.database)
    announcements = CacheAnnouncements(cache)
    chat = settings.conversation
    buffer = BufferRule(
        quiet=chat.message_buffer_initial_delay, longest=chat.message_buffer_max_delay
    )
    servers = servers or WahaChannelServers(keys, settings.outbound_hosts, _LOOK_UP_TIME)
    messages = WAMessageHandler(
        uow=uow,
        keys=keys,
        servers=servers,
        announcements=announcements,
        intake=MessageIntake(buffer),
        own=OwnMessages(call_window=chat.unknown_send_seconds),
        changes=MessageChanges(buffer),
    )
    turns = TurnService(
        uow=uow,
        agent=agent,
        announcements=announcements,
        prompts=ConversationCache(cache, settings.cache.conversation_ttl),
        limits=TurnLimits(
            lease=chat.conversation_lease_seconds,
            deadline=chat.turn_deadline_seconds,
            turns_per_hour=chat.turns_per_customer_hour,
        ),
    )
    repair = GapRepairService(uow=uow, servers=servers)
    rng = random.Random()
    callbacks = CallbackService(
        SqlCallbackDesk(work.database, keys),
        sender or HttpCallbackSender(settings.security.outbound_allow_hosts),
        Lines(rng),
        rng,
    )
    return Container(
        work=work,
        routes=task_routes(
            messages=messages,
            turns=turns,
            repair=repair,
            callbacks=callbacks,
            join=SqlUnitOfWork.joining,
        ),
        sweeper=SqlSweeper(work.database),
        conversations=conversations,
        messages=messages,
        turns=turns,
        repair=repair,
    )


@asynccontextmanager
async def _open_agent(
    settings: PlatformSettings,
    database: Database,
    keys: KeyRing,
    cache: Cache,
    conversations: ConversationService,
    circuits: "CircuitBreakerRegistry | None",
) -> AsyncIterator[ShopAgent]:
    from commerce_agent.application.services.chatbot_orchestrator import ChatbotOrchestrator
    from commerce_agent.infrastructure.llm.crm_langgraph_runner import CRMLangGraphRunner
    from commerce_agent.infrastructure.llm.model_directory import SqlModelDirectory
    from llm_worker.bootstrap import open_models
    from llm_worker.infrastructure.cache.breaker_board import BreakerBoard

    async with AsyncExitStack() as opened:
        models = await opened.enter_async_context(
            open_models(
                settings.llm,
                allow_hosts=settings.security.outbound_allow_hosts,
                circuits=circuits,
            )
        )
        if circuits is None:
            board = BreakerBoard(cache, models.circuits, "commerce-agent")
            await opened.enter_async_context(board.kept())
        yield ChatbotOrchestrator(
            build_runner=lambda executors: CRMLangGraphRunner(models.caller, executors),
            models=SqlModelDirectory(database, keys),
            search=SqlCatalogueSearch(database),
            products=SqlProductQueries(database),
            customers=CustomerService(partial(SqlUnitOfWork, database), utc_now),
            conversations=conversations,
        )
