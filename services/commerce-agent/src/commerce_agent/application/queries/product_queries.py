"""What screens, REST and tools show of the catalogue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from commerce_agent.application.queries.page import Page
from commerce_agent.domain.value_objects.ids import ProductId, VariantId
from shared.kernel.ids import TenantId
from shared.kernel.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantRow:
    id: VariantId
    sku: str
    name: str
    price: Money
    stock: int
    """What can be sold: on hand less reserved."""
    on_hand: int
    reserved: int
    attributes: Mapping[str, str]
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductRow:
    id: ProductId
    name: str
    category: str
    description: str
    active: bool
    images: tuple[str, ...]
    variants: tuple[VariantRow, ...]
    version: int
    created_at: datetime
    updated_at: datetime


class ProductQueries(Protocol):
    """Reads of one tenant's catalogue, retired products included."""

    async def get(self, tenant_id: TenantId, product_id: ProductId) -> ProductRow:
        """One product with all its variants; raises `ProductNotFound`."""
        ...

    async def get_many(
        self, tenant_id: TenantId, product_ids: Sequence[ProductId]
    ) -> tuple[ProductRow, ...]:
        """Those that exist, in the order asked for."""
        ...

    async def list(
        self,
        tenant_id: TenantId,
        *,
        limit: int = 50,
        cursor: str | None = None,
        category: str | None = None,
        active: bool | None = None,
    ) -> Page[ProductRow]:
        """A page in the order of creation. Raises `BadCursor`, `BadLimit`."""
        ...
