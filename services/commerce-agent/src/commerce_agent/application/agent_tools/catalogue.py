"""What the agent can find out about the catalogue."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from commerce_agent.application.agent_tools.context import AgentContext, ToolOutcome, as_result
from commerce_agent.application.ports.catalogue_search import CatalogueSearch
from commerce_agent.application.queries.product_queries import (
    ProductQueries,
    ProductRow,
    VariantRow,
)
from commerce_agent.domain.services.money_text import format_money
from commerce_agent.domain.services.outgoing_check import name_fact
from commerce_agent.domain.value_objects.conversation_state import ConversationState
from commerce_agent.domain.value_objects.facts import Fact, FactKind
from commerce_agent.domain.value_objects.ids import VariantId
from shared.kernel.errors import Conflict

MOST_PRODUCTS = 8
"""More in one reply reads like a price list; the rest is a question away."""

_SHORT_DESCRIPTION = 160
_VARIANTS_IN_A_LIST = 8
_BROWSES = frozenset({ConversationState.GREETING, ConversationState.COMPLETED})


class NotForSale(Conflict):
    """This product is not for sale at the moment."""

    code = "not_for_sale"


@dataclass(frozen=True, slots=True)
class CatalogueTools:
    """Reads of one shop's catalogue, as tools answer them."""

    search: CatalogueSearch
    products: ProductQueries

    async def search_products(
        self, context: AgentContext, *, query: str, category: str | None = None
    ) -> ToolOutcome:
        """At most `MOST_PRODUCTS`; when there are none, the shop's categories instead."""
        found = await self.search.search(
            context.tenant_id, query, category=category, limit=MOST_PRODUCTS
        )
        rows = [
            replace(row, variants=row.variants[:_VARIANTS_IN_A_LIST])
            for row in found.products[:MOST_PRODUCTS]
        ]
        data: dict[str, Any] = {
            "products": [_card(context, row, short=True) for row in rows],
            "total": found.total,
            "query": query,
        }
        if found.near and rows:
            data["note"] = "nothing fits exactly; these are the nearest"
        if not rows:
            data["categories"] = list(await self.search.categories(context.tenant_id))
        numbers = (Fact(FactKind.NUMBER, str(count)) for count in (len(rows), found.total))
        return _outcome(context, data, rows, numbers)

    async def get_product_details(self, context: AgentContext, *, product: str) -> ToolOutcome:
        """The whole description and every variant of one product.

        Raises:
            UnknownHandle: nothing was shown under this code.
            NotForSale: it was taken out of sale since.
        """
        row = await self._row(context, product)
        return _outcome(context, {"product": _card(context, row)}, [row])

    async def check_stock(self, context: AgentContext, *, product: str) -> ToolOutcome:
        """How many there are right now. Raises as `get_product_details`."""
        handle = context.handles.get(product)
        row = await self._row(context, product)
        wanted = tuple(v for v in row.variants if handle.variant_id in (None, v.id))
        if not wanted:
            raise NotForSale
        row = replace(row, variants=wanted)
        code, codes = _codes(context, row)
        stock = sum(max(variant.stock, 0) for variant in wanted)
        data = {
            "code": codes[handle.variant_id] if handle.variant_id else code,
            "name": row.name,
            "stock": stock,
            "available": stock > 0,
            "variants": [_variant(context, codes[v.id], v) for v in wanted],
        }
        return _outcome(context, data, [row], [Fact(FactKind.NUMBER, str(stock))])

    async def _row(self, context: AgentContext, product: str) -> ProductRow:
        handle = context.handles.get(product)
        for row in await self.products.get_many(context.tenant_id, [handle.product_id]):
            variants = tuple(variant for variant in row.variants if variant.active)
            if row.active and variants:
                return replace(row, variants=variants)
        raise NotForSale


def _card(context: AgentContext, row: ProductRow, *, short: bool = False) -> dict[str, Any]:
    code, codes = _codes(context, row)
    description = _shortened(row.description) if short else row.description
    return {
        "code": code,
        "name": row.name,
        "category": row.category,
        "variants": [_variant(context, codes[variant.id], variant) for variant in row.variants],
        "description": description,
    }


def _variant(context: AgentContext, code: str, variant: VariantRow) -> dict[str, Any]:
    stock = max(variant.stock, 0)
    return {
        "code": code,
        "name": variant.name,
        "price": format_money(variant.price, context.language),
        "stock": stock,
        "available": stock > 0,
    }


def _codes(context: AgentContext, row: ProductRow) -> tuple[str, dict[VariantId, str]]:
    return context.handles.show(row.id, [variant.id for variant in row.variants])


def _shortened(text: str) -> str:
    if len(text) <= _SHORT_DESCRIPTION:
        return text
    return text[:_SHORT_DESCRIPTION].rsplit(" ", 1)[0] + " …"


def _outcome(
    context: AgentContext,
    data: dict[str, Any],
    rows: Sequence[ProductRow],
    more: Iterable[Fact] = (),
) -> ToolOutcome:
    facts = [fact for row in rows for fact in _facts(context, row)]
    return ToolOutcome(
        result=as_result(data),
        facts=tuple(dict.fromkeys([*facts, *more])),
        handles=context.handles.take_new(),
        state=ConversationState.BROWSING if context.state in _BROWSES and rows else None,
    )


def _facts(context: AgentContext, row: ProductRow) -> Iterable[Fact]:
    code, codes = _codes(context, row)
    yield Fact(FactKind.PRODUCT_CODE, code)
    names = [row.name]
    for variant in row.variants:
        yield Fact(FactKind.PRODUCT_CODE, codes[variant.id])
        yield Fact(FactKind.AMOUNT, str(variant.price.amount))
        yield Fact(FactKind.NUMBER, str(max(variant.stock, 0)))
        names.append(variant.name)
    for name in names:
        if fact := name_fact(name, currency=context.currency):
            yield fact
