"""A shop on a database, and one worker's objects over it with a model of the bench's choice.

The queue rows of turns are made as the store makes them, several shops side by side; what is not
part of a turn (webhook, store) is left out here.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from langchain_core.language_models import BaseChatModel

from commerce_agent.application.ports.shop_agent import ShopAgent
from commerce_agent.application.services.chatbot_orchestrator import ChatbotOrchestrator
from commerce_agent.application.services.conversation_service import ConversationService
from commerce_agent.application.services.customer_service import CustomerService
from commerce_agent.application.services.product_service import ProductService
from commerce_agent.application.services.turn_tasks import TURN_TASK
from commerce_agent.bootstrap import Container, assemble
from commerce_agent.infrastructure.cache.announcements import CacheAnnouncements
from commerce_agent.infrastructure.llm.crm_langgraph_runner import CRMLangGraphRunner
from commerce_agent.infrastructure.llm.model_directory import SqlModelDirectory
from commerce_agent.infrastructure.persistence.catalogue_search import SqlCatalogueSearch
from commerce_agent.infrastructure.persistence.product_queries import SqlProductQueries
from commerce_agent.infrastructure.persistence.unit_of_work import SqlUnitOfWork
from llm_worker.bootstrap import model_transport
from llm_worker.infrastructure.llm.circuit_breaker import CircuitBreakerRegistry
from llm_worker.infrastructure.llm.llm_factory import LLMFactory
from llm_worker.infrastructure.llm.model_call import ModelCaller
from shared.cache.open import open_cache
from shared.config.settings import PlatformSettings
from shared.kernel.clock import utc_now
from shared.kernel.ids import ChannelId, TenantId, new_id
from shared.messaging.platform import Work, open_work
from shared.security.crypto import KeyRing
from tests.support import rows
from tests.support.coffee_shop import a_menu
from tests.support.postgres import TestDatabase

MODEL = "bench"
"""The configuration of the shop's model; its provider is ``scripted``, or the given server."""


@dataclass(frozen=True, kw_only=True)
class Shop:
    tenant: TenantId
    channel: ChannelId


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One worker process's objects."""

    work: Work
    container: Container


async def a_shop(db: TestDatabase, *, llm_url: str | None = None) -> Shop:
    """A shop with a menu whose model is the fake one, or ``llm_url`` over HTTP."""
    tenant = await rows.a_tenant(db, name="Kopi Braga", llm_config_name=MODEL)
    channel = await rows.a_channel(db, tenant)
    provider = "scripted" if llm_url is None else "openai_compatible"
    await db.execute(
        "INSERT INTO llm_configs (id, name, provider, model, base_url, temperature, max_tokens)"
        " VALUES ($1, $2, $3, 'fake', $4, 0, 1024) ON CONFLICT DO NOTHING",
        new_id(),
        MODEL,
        provider,
        llm_url,
    )
    return Shop(tenant=tenant, channel=channel)


async def open_conversations(db: TestDatabase, shop: Shop, count: int, *, text: str) -> None:
    """So many conversations with one message each that waits, and their turns due now."""
    async with db.admin() as connection:
        await connection.execute(
            """
            WITH n AS (SELECT g, gen_random_uuid() AS customer, gen_random_uuid() AS conversation
                       FROM generate_series(1, $3) AS g),
            people AS (INSERT INTO customers (tenant_id, id, name)
                       SELECT $1, customer, 'Budi' FROM n),
            chats AS (INSERT INTO conversations (tenant_id, id, channel_id, customer_id, address,
                                                 inbound_seq, first_unanswered_at)
                      SELECT $1, conversation, $2, customer, conversation || '@c.us', 1, now()
                      FROM n),
            said AS (INSERT INTO messages (tenant_id, id, channel_id, conversation_id, direction,
                                           kind, native_id, sender, seq, content_type, body,
                                           sent_at)
                     SELECT $1, gen_random_uuid(), $2, conversation, 'in', 'message',
                            conversation::text, conversation || '@c.us', 1, 'text', $4, now()
                     FROM n)
            INSERT INTO queue_messages (id, tenant_id, queue, kind, key)
            SELECT gen_random_uuid(), $1, 'crm_tasks', $5, conversation::text FROM n
            """,
            shop.tenant,
            shop.channel,
            count,
            text,
            TURN_TASK,
        )
        await connection.execute("SELECT pg_notify('platform_queue', 'crm_tasks')")


@asynccontextmanager
async def open_worker(settings: PlatformSettings, model: BaseChatModel) -> AsyncIterator[Worker]:
    """A worker whose model is ``model`` wherever a shop's provider is ``scripted``."""
    assert settings.security.master_key is not None
    keys = KeyRing(settings.security.master_key)
    async with open_work(settings) as work, open_cache(settings.cache) as cache:
        uow = partial(SqlUnitOfWork, work.database)
        conversations = ConversationService(uow, CacheAnnouncements(cache))
        factory = LLMFactory(
            settings.llm,
            transport=lambda: model_transport(settings.security.outbound_allow_hosts),
            scripted=lambda _: model,
        )
        agent = _agent(work, keys, conversations, factory, settings)
        container = assemble(settings, work, keys, cache, conversations, agent)
        yield Worker(work=work, container=container)
        await factory.aclose()


async def fill_catalogue(worker: Worker, shop: Shop) -> None:
    uow = partial(SqlUnitOfWork, worker.work.database)
    await ProductService(uow, utc_now).create_many(shop.tenant, a_menu())


def _agent(
    work: Work,
    keys: KeyRing,
    conversations: ConversationService,
    factory: LLMFactory,
    settings: PlatformSettings,
) -> ShopAgent:
    caller = ModelCaller(factory, CircuitBreakerRegistry(), settings.llm)
    return ChatbotOrchestrator(
        build_runner=partial(CRMLangGraphRunner, caller),
        models=SqlModelDirectory(work.database, keys),
        search=SqlCatalogueSearch(work.database),
        products=SqlProductQueries(work.database),
        customers=CustomerService(partial(SqlUnitOfWork, work.database), utc_now),
        conversations=conversations,
    )
