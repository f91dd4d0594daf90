"""The shop's agent, put together: its tools bound to the services that HTTP calls, its model the
one that the tenant chose."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from commerce_agent.application.agent_tools.catalogue import CatalogueTools
from commerce_agent.application.agent_tools.context import ToolExecutor
from commerce_agent.application.agent_tools.customers import CustomerTools
from commerce_agent.application.agent_tools.hand_over import HandOverTools
from commerce_agent.application.ports.catalogue_search import CatalogueSearch
from commerce_agent.application.ports.model_directory import ModelDirectory
from commerce_agent.application.ports.shop_agent import (
    AgentOutcome,
    AgentUnavailable,
    Journal,
    Turn,
)
from commerce_agent.application.queries.product_queries import ProductQueries
from commerce_agent.application.services.conversation_service import ConversationService
from commerce_agent.application.services.customer_service import CustomerService
from llm_worker.domain.entities.llm_config import LLMConfig
from shared.kernel.errors import DomainError, Unavailable


class AgentRunner(Protocol):
    """Thinks: asks models and carries out what they ask for."""

    async def run(
        self, turn: Turn, journal: Journal, models: Sequence[LLMConfig]
    ) -> AgentOutcome: ...


class ChatbotOrchestrator:
    """Implements `ShopAgent`. One per process.

    ``build_runner`` is called once, with the executor of every tool by the tool's name.
    """

    def __init__(
        self,
        *,
        build_runner: Callable[[Mapping[str, ToolExecutor]], AgentRunner],
        models: ModelDirectory,
        search: CatalogueSearch,
        products: ProductQueries,
        customers: CustomerService,
        conversations: ConversationService,
    ) -> None:
        self._models = models
        self._catalogue = CatalogueTools(search=search, products=products)
        self._customers = CustomerTools(customers)
        self._hand_over = HandOverTools(conversations)
        self._runner = build_runner(self._register_tool_executors())

    async def run(self, turn: Turn, journal: Journal) -> AgentOutcome:
        """Answer a turn with the tenant's model.

        Raises:
            AgentUnavailable: no model can answer at the moment, or the tenant's is set up wrongly.
            Fenced: the conversation is no longer ours.
        """
        return await self._runner.run(turn, journal, await self._chain(turn))

    def _register_tool_executors(self) -> Mapping[str, ToolExecutor]:
        """What each tool does. A new tool gets its line here."""
        return {
            "search_products": self._catalogue.search_products,
            "get_product_details": self._catalogue.get_product_details,
            "check_stock": self._catalogue.check_stock,
            "get_customer_profile": self._customers.get_customer_profile,
            "update_customer_profile": self._customers.update_customer_profile,
            "hand_over_to_human": self._hand_over.hand_over_to_human,
        }

    async def _chain(self, turn: Turn) -> Sequence[LLMConfig]:
        try:
            return await self._models.chain(turn.tenant_id, turn.llm_config_name)
        except Unavailable:
            raise  # our own database, not the model
        except DomainError as error:
            raise AgentUnavailable(error.detail, cause=error.code) from error
