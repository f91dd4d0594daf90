"""The gateway's composition root: every object that lives as long as the process."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from pydantic import SecretStr
from sqlalchemy import text

from commerce_agent.application.ports.webhook_secrets import WebhookSecrets
from commerce_agent.application.queries.channel_queries import ChannelQueries
from commerce_agent.application.queries.conversation_queries import ConversationQueries
from commerce_agent.application.queries.customer_queries import CustomerQueries
from commerce_agent.application.queries.product_queries import ProductQueries
from commerce_agent.application.queries.tenant_queries import TenantQueries
from commerce_agent.application.queries.webhook_delivery_queries import WebhookDeliveries
from commerce_agent.application.services.channel_service import ChannelService
from commerce_agent.application.services.conversation_service import ConversationService
from commerce_agent.application.services.customer_service import CustomerService
from commerce_agent.application.services.product_service import ProductService
from commerce_agent.application.services.tenant_service import TenantService
from commerce_agent.domain.entities.channel import Channel
from commerce_agent.infrastructure.cache.announcements import CacheAnnouncements
from commerce_agent.infrastructure.persistence.channel_queries import SqlChannelQueries
from commerce_agent.infrastructure.persistence.conversation_queries import SqlConversationQueries
from commerce_agent.infrastructure.persistence.customer_queries import SqlCustomerQueries
from commerce_agent.infrastructure.persistence.product_queries import SqlProductQueries
from commerce_agent.infrastructure.persistence.tenant_queries import SqlTenantQueries
from commerce_agent.infrastructure.persistence.tenant_repository import SqlTenantRegistry
from commerce_agent.infrastructure.persistence.unit_of_work import SqlUnitOfWork
from commerce_agent.infrastructure.persistence.webhook_delivery_queries import SqlWebhookDeliveries
from commerce_agent.infrastructure.persistence.webhook_secrets import SqlWebhookSecrets
from gateway.application.addresses import PublicAddresses
from gateway.application.ports.idempotency import IdempotencyStore
from gateway.application.ports.llm_work import OpenLLMWork
from gateway.application.services.agent_configs import AgentConfigs
from gateway.application.services.authentication import Authentication
from gateway.application.services.dead_letter_service import DeadLetterService
from gateway.application.services.default_channel import DefaultChannel
from gateway.application.services.explanations import Explanations
from gateway.application.services.job_watch import JobWatch, OpenJobWork
from gateway.application.services.llm_configs import LLMConfigs
from gateway.application.services.prompt_templates import PromptTemplates
from gateway.application.services.readiness import ReadinessService
from gateway.application.services.simulator_service import SimulatorService
from gateway.application.services.webhook_access import WebhookAccess
from gateway.application.services.whatsapp_sending import WhatsAppSending
from gateway.application.services.whatsapp_sessions import OpenWaha, WhatsAppSessions
from gateway.infrastructure.persistence.api_keys import SqlApiKeyStore
from gateway.infrastructure.persistence.idempotency import SqlIdempotencyStore
from gateway.infrastructure.persistence.job_work import JobWork
from gateway.infrastructure.persistence.llm_work import SqlLLMWork
from gateway.infrastructure.persistence.replies import SqlReplies
from gateway.infrastructure.persistence.simulated_phones import SqlSimulatedPhones
from gateway.infrastructure.persistence.tenant_ciphers import TenantCiphers
from gateway.infrastructure.persistence.webhook_endpoints import SqlEndpointSource
from gateway.seeding import seeding
from shared.cache.open import open_cache
from shared.cache.port import Cache
from shared.config.settings import (
    DatabaseSettings,
    HttpSettings,
    ObservabilitySettings,
    PlatformSettings,
)
from shared.inbox import InboxWriter
from shared.kernel.clock import utc_now
from shared.messaging.waker import open_waker
from shared.observability.heartbeat import is_alive
from shared.persistence.database import Database, connection, open_database
from shared.security.crypto import KeyRing
from shared.security.outbound import open_client
from shared.waha.client import WahaClient

_PATIENCE = timedelta(milliseconds=250)
"""Longest wait for a free connection: whoever asks over HTTP rather tries again than waits."""


class SettingMissing(Exception):
    """The gateway cannot start without this variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    settings: PlatformSettings
    stopping: asyncio.Event
    """Set when the process is told to end; streams end themselves."""
    cache: Cache
    inbox: InboxWriter
    webhook_access: WebhookAccess
    authentication: Authentication
    idempotency: IdempotencyStore
    readiness: ReadinessService
    addresses: PublicAddresses
    tenants: TenantService
    tenant_queries: TenantQueries
    channels: ChannelService
    channel_queries: ChannelQueries
    products: ProductService
    product_queries: ProductQueries
    customers: CustomerService
    customer_queries: CustomerQueries
    conversations: ConversationService
    conversation_queries: ConversationQueries
    explanations: Explanations
    sending: WhatsAppSending
    dead_letters: DeadLetterService
    sessions: WhatsAppSessions
    open_jobs: OpenJobWork
    job_watch: JobWatch
    webhook_deliveries: WebhookDeliveries
    webhook_secrets: WebhookSecrets
    open_models: OpenLLMWork
    llm_configs: LLMConfigs
    prompt_templates: PromptTemplates
    agent_configs: AgentConfigs
    simulator: SimulatorService


@asynccontextmanager
async def build(settings: PlatformSettings, stopping: asyncio.Event) -> AsyncIterator[Container]:
    """Open what the gateway holds open, close it in reverse.

    Raises:
        SettingMissing: MASTER_KEY or API_KEY_PEPPER is not set.
        DatabaseUnavailable: the database does not answer.
    """
    keys = KeyRing(_required(settings.security.master_key, "MASTER_KEY"))
    pepper = _required(settings.security.api_key_pepper, "API_KEY_PEPPER")
    async with (
        open_waker(settings.database) as waker,
        open_database(_impatient(settings.database), waker) as database,
        open_database(_of_webhooks(settings.database)) as endpoints,
        open_cache(settings.cache) as cache,
        InboxWriter(database) as inbox,
    ):
        access = WebhookAccess(SqlEndpointSource(endpoints, keys))
        container = _assemble(settings, keys, pepper, stopping, database, cache, inbox, access)
        async with seeding(_default_channel(settings, container)):
            yield container


def _impatient(settings: DatabaseSettings) -> DatabaseSettings:
    wait = min(_PATIENCE, settings.database_pool_timeout_seconds)
    return settings.model_copy(update={"database_pool_timeout_seconds": wait})


def _of_webhooks(settings: DatabaseSettings) -> DatabaseSettings:
    """Connections of their own: what the API's slow requests hold, webhooks must not wait for."""
    few = {"database_pool_size": 1, "database_max_overflow": 1}
    return _impatient(settings).model_copy(update=few)


def _assemble(
    settings: PlatformSettings,
    keys: KeyRing,
    pepper: SecretStr,
    stopping: asyncio.Event,
    database: Database,
    cache: Cache,
    inbox: InboxWriter,
    webhook_access: WebhookAccess,
) -> Container:
    uow = partial(SqlUnitOfWork, database)
    addresses = _addresses(settings.http)
    key_store = SqlApiKeyStore(database)
    channels = SqlChannelQueries(database)
    conversations = ConversationService(uow, CacheAnnouncements(cache))
    threads = SqlConversationQueries(database)
    phones = SqlSimulatedPhones(database)
    ciphers = TenantCiphers(database, keys)
    open_models = partial(SqlLLMWork, database, ciphers)
    open_jobs = partial(
        JobWork,
        database,
        cache,
        ttl=settings.cache.redis_job_ttl,
        default_max_retries=settings.llm.job_default_max_retries,
    )
    return Container(
        settings=settings,
        stopping=stopping,
        cache=cache,
        inbox=inbox,
        webhook_access=webhook_access,
        authentication=Authentication(key_store, pepper),
        idempotency=SqlIdempotencyStore(database, ciphers),
        readiness=_readiness(settings.observability, database, cache),
        addresses=addresses,
        tenants=TenantService(uow, SqlTenantRegistry(database), keys, utc_now),
        tenant_queries=SqlTenantQueries(database),
        channels=ChannelService(uow, keys, utc_now),
        channel_queries=channels,
        products=ProductService(uow, utc_now),
        product_queries=SqlProductQueries(database),
        customers=CustomerService(uow, utc_now),
        customer_queries=SqlCustomerQueries(database),
        conversations=conversations,
        conversation_queries=threads,
        explanations=Explanations(SqlReplies(database), threads),
        sending=WhatsAppSending(conversations, channels),
        dead_letters=DeadLetterService(database),
        sessions=WhatsAppSessions(uow, keys, _open_waha(settings), addresses),
        open_jobs=open_jobs,
        job_watch=JobWatch(open_jobs, cache, stopping),
        webhook_deliveries=SqlWebhookDeliveries(database),
        webhook_secrets=SqlWebhookSecrets(database, keys),
        open_models=open_models,
        llm_configs=LLMConfigs(open_models, cache),
        prompt_templates=PromptTemplates(open_models),
        agent_configs=AgentConfigs(open_models),
        simulator=SimulatorService(phones, addresses.media, utc_now, random.SystemRandom()),
    )


def _default_channel(settings: PlatformSettings, container: Container) -> DefaultChannel | None:
    waha, tenant = settings.waha, settings.security.default_tenant
    if waha.waha_server_url is None or tenant is None:
        return None
    return DefaultChannel(
        tenants=container.tenant_queries,
        channels=container.channels,
        tenant=tenant,
        server=waha.waha_server_url,
        api_key=waha.waha_api_key,
    )


def _readiness(
    settings: ObservabilitySettings, database: Database, cache: Cache
) -> ReadinessService:
    async def ask_database() -> None:
        async with connection(database.engine) as opened:
            await opened.execute(text("SELECT 1"))

    def beats(service: str) -> bool:
        return settings.run_dir is not None and is_alive(settings.run_dir, service)

    return ReadinessService(ask_database, cache, settings.ready_services, beats)


def _addresses(settings: HttpSettings) -> PublicAddresses:
    here = f"http://{settings.http_host}:{settings.http_port}"
    return PublicAddresses((settings.public_base_url or here).rstrip("/"))


def _open_waha(settings: PlatformSettings) -> OpenWaha:
    @asynccontextmanager
    async def opened(channel: Channel, api_key: str | None) -> AsyncIterator[WahaClient]:
        async with open_client(
            settings.outbound_hosts,
            timeout=settings.waha.waha_timeout_seconds,
            base_url=channel.base_url or "",
            headers={"x-api-key": api_key} if api_key else None,
        ) as client:
            yield WahaClient(client, channel.session)

    return opened


def _required(value: SecretStr | None, name: str) -> SecretStr:
    if value is None:
        raise SettingMissing(f"{name} is not set; 32 random bytes in base64")
    return value
