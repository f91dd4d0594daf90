"""A small shop in memory with the real runner and the real tools over it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from langchain_core.messages import BaseMessage

from commerce_agent.application.agent_tools.catalogue import CatalogueTools
from commerce_agent.application.agent_tools.context import AgentContext, ToolExecutor, ToolOutcome
from commerce_agent.application.agent_tools.customers import CustomerTools
from commerce_agent.application.ports.catalogue_search import SearchResult
from commerce_agent.application.ports.shop_agent import (
    AgentOutcome,
    CustomerCard,
    Heard,
    Journal,
    ShopCard,
    Turn,
)
from commerce_agent.application.queries.product_queries import ProductRow, VariantRow
from commerce_agent.application.services.customer_service import CustomerService
from commerce_agent.application.unit_of_work import UnitOfWorkFactory
from commerce_agent.domain.entities.customer import Customer
from commerce_agent.domain.value_objects.conversation_state import ConversationState
from commerce_agent.domain.value_objects.ids import (
    CustomerId,
    MessageId,
    ProductId,
    TurnId,
    VariantId,
)
from commerce_agent.infrastructure.llm.crm_langgraph_runner import CRMLangGraphRunner
from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.domain.value_objects.model_name import ModelName
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.infrastructure.llm.circuit_breaker import CircuitBreakerRegistry
from llm_worker.infrastructure.llm.llm_factory import LLMFactory
from llm_worker.infrastructure.llm.model_call import ModelCaller
from shared.config.settings import LlmSettings
from shared.kernel.ids import ChannelId, ConversationId, TenantId, new_id
from shared.kernel.money import Money
from tests.support.memory_journal import MemoryJournal
from tests.support.memory_shop import MemoryShop
from tests.support.scripted_model import ScriptedModel

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
CONFIG = LLMConfig(name="test", provider=ProviderType.SCRIPTED, model=ModelName("scripted-1"))


def a_variant(name: str = "", *, price: int = 25_000, stock: int = 12, **more: Any) -> VariantRow:
    return VariantRow(
        **{
            "id": VariantId(new_id()),
            "sku": f"SKU-{new_id()}",
            "name": name,
            "price": Money(price, "IDR"),
            "stock": stock,
            "on_hand": stock,
            "reserved": 0,
            "attributes": {},
            "active": True,
            **more,
        }
    )


def a_product(name: str = "Kopi Susu", *variants: VariantRow, **more: Any) -> ProductRow:
    return ProductRow(
        **{
            "id": ProductId(new_id()),
            "name": name,
            "category": "Kopi",
            "description": "Espresso dengan susu segar.",
            "active": True,
            "images": (),
            "variants": variants or (a_variant(),),
            "version": 1,
            "created_at": NOW,
            "updated_at": NOW,
            **more,
        }
    )


def a_turn(**more: Any) -> Turn:
    return Turn(
        **{
            "id": TurnId(new_id()),
            "tenant_id": TenantId(new_id()),
            "channel_id": ChannelId(new_id()),
            "conversation_id": ConversationId(new_id()),
            "customer_id": CustomerId(new_id()),
            "lease_epoch": 1,
            "owner_epoch": 1,
            "llm_config_name": "test",
            "state": ConversationState.GREETING,
            "shop": ShopCard(
                name="Kopi Braga",
                currency="IDR",
                timezone="Asia/Jakarta",
                language="id",
                hours="Setiap hari 08.00–21.00",
                links=("https://kopibraga.example/menu",),
            ),
            "customer": CustomerCard(),
            "history": (),
            "handles": (),
            "now": NOW,
            "deadline": timedelta(seconds=90),
            **more,
        }
    )


def heard(text: str, **more: Any) -> Heard:
    return Heard(**{"message_id": MessageId(new_id()), "text": text, "at": NOW, **more})


class MemoryCatalogue:
    """Implements `CatalogueSearch` and `ProductQueries` over a list. Its search is that a query is
    part of a name; every call is counted."""

    def __init__(self, *products: ProductRow) -> None:
        self.products = list(products)
        self.searches: list[tuple[TenantId, str, str | None]] = []

    async def search(
        self, tenant_id: TenantId, query: str, *, category: str | None = None, limit: int = 8
    ) -> SearchResult:
        self.searches.append((tenant_id, query, category))
        found = [p for p in self.products if p.active and query.lower() in p.name.lower()]
        return SearchResult(products=tuple(found[:limit]), total=len(found))

    async def categories(self, tenant_id: TenantId) -> tuple[str, ...]:
        return tuple(sorted({product.category for product in self.products}))

    async def get_many(
        self, tenant_id: TenantId, product_ids: Sequence[ProductId]
    ) -> tuple[ProductRow, ...]:
        return tuple(p for wanted in product_ids for p in self.products if p.id == wanted)

    async def get(self, tenant_id: TenantId, product_id: ProductId) -> ProductRow:
        raise AssertionError("tools ask with get_many")

    async def list(self, tenant_id: TenantId, **more: Any) -> Any:
        raise AssertionError("tools do not page")

    def change(self, product: ProductRow, **more: Any) -> None:
        """Put a product in another way from now on."""
        self.products = [
            replace(each, **more) if each.id == product.id else each for each in self.products
        ]


@dataclass
class AgentShop:
    """The runner with everything it needs; ``hand_overs`` are the reasons that were committed."""

    model: ScriptedModel
    turn: Turn = field(default_factory=a_turn)
    catalogue: MemoryCatalogue = field(default_factory=lambda: MemoryCatalogue(a_product()))
    crm: MemoryShop = field(default_factory=MemoryShop)
    hand_overs: list[str] = field(default_factory=list)
    models: tuple[LLMConfig, ...] = (CONFIG,)
    replaced: Mapping[str, ToolExecutor] = field(default_factory=dict)
    settings: LlmSettings = field(default_factory=lambda: LlmSettings(llm_max_retries=0))
    factory: LLMFactory | None = None
    """Makes the models where ``models`` are not the scripted one."""

    def __post_init__(self) -> None:
        customer = Customer.create(tenant_id=self.turn.tenant_id, at=NOW, name="Sari")
        customer.id = self.turn.customer_id
        self.crm.stored[UUID(int=customer.id.int)] = customer
        factory = self.factory or LLMFactory(
            self.settings, transport=_no_network, scripted=lambda _: self.model
        )
        self.runner = CRMLangGraphRunner(
            ModelCaller(factory, CircuitBreakerRegistry(), self.settings),
            {**self._executors(), **self.replaced},
        )

    async def run(self, journal: Journal) -> AgentOutcome:
        return await self.runner.run(self.turn, journal, self.models)

    def journal(self, *texts: str, dies_after: int | None = None) -> MemoryJournal:
        return MemoryJournal(self.turn, map(heard, texts), dies_after=dies_after)

    @property
    def customer(self) -> Customer:
        found: Customer = self.crm.stored[UUID(int=self.turn.customer_id.int)]
        return found

    def seen(self, call: int = -1) -> list[BaseMessage]:
        """What the model was shown."""
        return self.model.calls[call]

    def _executors(self) -> Mapping[str, ToolExecutor]:
        catalogue = CatalogueTools(search=self.catalogue, products=self.catalogue)
        customers = CustomerTools(CustomerService(cast(UnitOfWorkFactory, self.crm), lambda: NOW))
        return {
            "search_products": catalogue.search_products,
            "get_product_details": catalogue.get_product_details,
            "check_stock": catalogue.check_stock,
            "get_customer_profile": customers.get_customer_profile,
            "update_customer_profile": customers.update_customer_profile,
            "hand_over_to_human": self._hand_over,
        }

    async def _hand_over(self, context: AgentContext, *, reason: str, summary: str) -> ToolOutcome:
        context.effect()
        self.hand_overs.append(reason)
        return ToolOutcome(result='{"handed_over":true}', committed=True)


def _no_network() -> Any:
    raise AssertionError("a scripted model needs no network")
