"""What controllers ask for. Everything is read from the container that the lifespan built; nothing
is made here."""

from typing import Annotated, cast

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

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
from gateway.application.addresses import PublicAddresses
from gateway.application.ports.llm_work import OpenLLMWork
from gateway.application.services.agent_configs import AgentConfigs
from gateway.application.services.dead_letter_service import DeadLetterService
from gateway.application.services.explanations import Explanations
from gateway.application.services.job_watch import JobWatch, OpenJobWork
from gateway.application.services.llm_configs import LLMConfigs
from gateway.application.services.prompt_templates import PromptTemplates
from gateway.application.services.readiness import ReadinessService
from gateway.application.services.whatsapp_sending import WhatsAppSending
from gateway.application.services.whatsapp_sessions import WhatsAppSessions
from gateway.bootstrap import Container
from gateway.domain.entities.api_key import Caller, Scope
from shared.kernel.errors import NotFound, Unauthorized
from shared.kernel.ids import TenantId


class TenantHidden(NotFound):
    """There is no such tenant, for this caller."""

    code = "tenant_not_found"


def container_of(connection: HTTPConnection) -> Container:
    """The container of the application that serves this request."""
    return cast(Container, connection.state.container)


def current_caller(request: Request) -> Caller:
    """Whose key came with the request; `ApiRoute` has looked before the body was read."""
    caller = getattr(request.state, "caller", None)
    if not isinstance(caller, Caller):
        raise Unauthorized
    return caller


CurrentCaller = Annotated[Caller, Depends(current_caller)]


class TenantFor:
    """Dependency: the tenant of the path, if the key is its own and has the scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def __call__(self, tenant_id: str, caller: CurrentCaller) -> TenantId:
        if caller.tenant_id is None or not caller.speaks_for(tenant_id):
            raise TenantHidden
        caller.require(self._scope)
        return caller.tenant_id


class KeyFor:
    """Dependency: the tenant that the key itself names, for routes without one in the path."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def __call__(self, caller: CurrentCaller) -> TenantId:
        caller.require(self._scope)
        if caller.tenant_id is None:
            raise TenantHidden
        return caller.tenant_id


def require_operator(caller: CurrentCaller) -> Caller:
    caller.require(Scope.PLATFORM)
    return caller


Operator = Annotated[Caller, Depends(require_operator)]


def get_tenant_service(request: Request) -> TenantService:
    return container_of(request).tenants


def get_tenant_queries(request: Request) -> TenantQueries:
    return container_of(request).tenant_queries


def get_channel_service(request: Request) -> ChannelService:
    return container_of(request).channels


def get_channel_queries(request: Request) -> ChannelQueries:
    return container_of(request).channel_queries


def get_product_service(request: Request) -> ProductService:
    return container_of(request).products


def get_product_queries(request: Request) -> ProductQueries:
    return container_of(request).product_queries


def get_customer_service(request: Request) -> CustomerService:
    return container_of(request).customers


def get_customer_queries(request: Request) -> CustomerQueries:
    return container_of(request).customer_queries


def get_conversation_service(request: Request) -> ConversationService:
    return container_of(request).conversations


def get_conversation_queries(request: Request) -> ConversationQueries:
    return container_of(request).conversation_queries


def get_explanations(request: Request) -> Explanations:
    return container_of(request).explanations


def get_whatsapp_sending(request: Request) -> WhatsAppSending:
    return container_of(request).sending


def get_dead_letter_service(request: Request) -> DeadLetterService:
    return container_of(request).dead_letters


def get_whatsapp_sessions(request: Request) -> WhatsAppSessions:
    return container_of(request).sessions


def get_open_jobs(request: Request) -> OpenJobWork:
    return container_of(request).open_jobs


def get_job_watch(request: Request) -> JobWatch:
    return container_of(request).job_watch


def get_webhook_deliveries(request: Request) -> WebhookDeliveries:
    return container_of(request).webhook_deliveries


def get_webhook_secrets(request: Request) -> WebhookSecrets:
    return container_of(request).webhook_secrets


def get_open_models(request: Request) -> OpenLLMWork:
    return container_of(request).open_models


def get_llm_configs(request: Request) -> LLMConfigs:
    return container_of(request).llm_configs


def get_prompt_templates(request: Request) -> PromptTemplates:
    return container_of(request).prompt_templates


def get_agent_configs(request: Request) -> AgentConfigs:
    return container_of(request).agent_configs


def get_addresses(request: Request) -> PublicAddresses:
    return container_of(request).addresses


def get_readiness(request: Request) -> ReadinessService:
    return container_of(request).readiness


Tenants = Annotated[TenantService, Depends(get_tenant_service)]
TenantList = Annotated[TenantQueries, Depends(get_tenant_queries)]
Channels = Annotated[ChannelService, Depends(get_channel_service)]
ChannelList = Annotated[ChannelQueries, Depends(get_channel_queries)]
Products = Annotated[ProductService, Depends(get_product_service)]
Catalogue = Annotated[ProductQueries, Depends(get_product_queries)]
Customers = Annotated[CustomerService, Depends(get_customer_service)]
CustomerList = Annotated[CustomerQueries, Depends(get_customer_queries)]
Conversations = Annotated[ConversationService, Depends(get_conversation_service)]
ConversationList = Annotated[ConversationQueries, Depends(get_conversation_queries)]
Explained = Annotated[Explanations, Depends(get_explanations)]
Sending = Annotated[WhatsAppSending, Depends(get_whatsapp_sending)]
DeadLetters = Annotated[DeadLetterService, Depends(get_dead_letter_service)]
Sessions = Annotated[WhatsAppSessions, Depends(get_whatsapp_sessions)]
OpenJobs = Annotated[OpenJobWork, Depends(get_open_jobs)]
Watching = Annotated[JobWatch, Depends(get_job_watch)]
Deliveries = Annotated[WebhookDeliveries, Depends(get_webhook_deliveries)]
SigningSecrets = Annotated[WebhookSecrets, Depends(get_webhook_secrets)]
OpenModels = Annotated[OpenLLMWork, Depends(get_open_models)]
Models = Annotated[LLMConfigs, Depends(get_llm_configs)]
Templates = Annotated[PromptTemplates, Depends(get_prompt_templates)]
Agents = Annotated[AgentConfigs, Depends(get_agent_configs)]
Addresses = Annotated[PublicAddresses, Depends(get_addresses)]
Readiness = Annotated[ReadinessService, Depends(get_readiness)]


async def own_tenant(tenant_id: str, caller: CurrentCaller, tenants: TenantList) -> TenantId:
    """The tenant of the path, for its own keys and for operators."""
    if caller.is_operator:
        return (await tenants.named(tenant_id)).id
    return TenantFor(Scope.TENANT_READ)(tenant_id, caller)


OwnTenant = Annotated[TenantId, Depends(own_tenant)]
