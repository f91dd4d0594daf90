"""A coffee shop with the real agent over the real database; a test chooses only the model."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

import pytest

from commerce_agent.application.services.chatbot_orchestrator import ChatbotOrchestrator
from commerce_agent.application.services.conversation_service import ConversationService
from commerce_agent.application.services.customer_service import CustomerService
from commerce_agent.application.services.product_service import ProductService
from commerce_agent.bootstrap import assemble
from commerce_agent.infrastructure.cache.announcements import CacheAnnouncements
from commerce_agent.infrastructure.llm.crm_langgraph_runner import CRMLangGraphRunner
from commerce_agent.infrastructure.llm.model_directory import SqlModelDirectory
from commerce_agent.infrastructure.persistence.catalogue_search import SqlCatalogueSearch
from commerce_agent.infrastructure.persistence.product_queries import SqlProductQueries
from commerce_agent.infrastructure.persistence.unit_of_work import SqlUnitOfWork
from llm_worker.infrastructure.llm.circuit_breaker import CircuitBreakerRegistry
from llm_worker.infrastructure.llm.llm_factory import LLMFactory
from llm_worker.infrastructure.llm.model_call import ModelCaller
from shared.cache.memory import MemoryCache
from shared.config.settings import LlmSettings, PlatformSettings, SecuritySettings
from shared.kernel.clock import utc_now
from shared.kernel.ids import new_id
from shared.messaging.platform import open_work
from shared.security.crypto import KeyRing
from tests.integration.commerce_agent.conversation.conftest import (
    Desk,
    FakeServers,
    chat_settings,
)
from tests.support import rows
from tests.support.coffee_shop import a_menu
from tests.support.postgres import TestDatabase
from tests.support.scripted_agent import ScriptedAgent
from tests.support.scripted_model import ScriptedModel

OpenShop: TypeAlias = Callable[..., AbstractAsyncContextManager[Desk]]


@pytest.fixture
def open_shop(test_database: TestDatabase) -> OpenShop:
    """``open_shop()`` answers with the offline model, ``open_shop(ScriptedModel(…))`` with that
    one. ``open_shop(model, desk)`` is another worker of the same shop."""

    @asynccontextmanager
    async def opened(
        model: ScriptedModel | None = None, before: Desk | None = None, **tenant: Any
    ) -> AsyncIterator[Desk]:
        settings = PlatformSettings(
            database=test_database.settings,
            security=SecuritySettings(master_key=rows.MASTER_KEY),
            conversation=chat_settings(),
        )
        async with open_work(settings) as work:
            keys, cache = KeyRing(rows.MASTER_KEY), MemoryCache()
            uow = partial(SqlUnitOfWork, work.database)
            if before is None:
                name = "offline" if model is None else "scripted"
                chosen = {"name": "Kopi Braga", "llm_config_name": name} | tenant
                tenant_id = await rows.a_tenant(test_database, **chosen)
                channel_id = await rows.a_channel(test_database, tenant_id)
                await _a_scripted_config(test_database)
                await ProductService(uow, utc_now).create_many(tenant_id, a_menu())
            else:
                tenant_id, channel_id = before.tenant, before.channel
            conversations = ConversationService(uow, CacheAnnouncements(cache))
            llm = LlmSettings(llm_max_retries=0)
            factory = LLMFactory(llm, transport=_no_network, scripted=lambda _: _given(model))
            caller = ModelCaller(factory, CircuitBreakerRegistry(), llm)
            agent = ChatbotOrchestrator(
                build_runner=partial(CRMLangGraphRunner, caller),
                models=SqlModelDirectory(work.database, keys),
                search=SqlCatalogueSearch(work.database),
                products=SqlProductQueries(work.database),
                customers=CustomerService(uow, utc_now),
                conversations=conversations,
            )
            servers = FakeServers()
            yield Desk(
                db=test_database,
                work=work,
                container=assemble(settings, work, keys, cache, conversations, agent, servers),
                agent=ScriptedAgent(),
                server=servers.server,
                cache=cache,
                tenant=tenant_id,
                channel=channel_id,
            )

    return opened


async def ask(desk: Desk, *texts: str, **more: Any) -> list[str]:
    """Write to the shop and let it answer; returns the bubbles of this answer."""
    before = len(await desk.bubbles())
    await desk.hears(*texts, **more)
    assert await desk.do(await desk.claim("conversation.turn")) == "done"
    return (await desk.bubbles())[before:]


async def _a_scripted_config(db: TestDatabase) -> None:
    await db.execute(
        "INSERT INTO llm_configs (id, name, provider, model, temperature, max_tokens)"
        " VALUES ($1, 'scripted', 'scripted', 'scripted-1', 0, 1024) ON CONFLICT DO NOTHING",
        new_id(),
    )


def _given(model: ScriptedModel | None) -> ScriptedModel:
    assert model is not None
    return model


def _no_network() -> Any:
    raise AssertionError("these models need no network")
