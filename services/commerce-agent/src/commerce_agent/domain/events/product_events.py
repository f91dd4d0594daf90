"""What happens to the catalogue. Amounts are minor units."""

from dataclasses import dataclass
from typing import ClassVar

from commerce_agent.domain.value_objects.ids import ProductId, VariantId
from shared.kernel.events import DomainEvent


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductCreated(DomainEvent):
    name: ClassVar[str] = "product.created"

    product_id: ProductId


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductUpdated(DomainEvent):
    name: ClassVar[str] = "product.updated"

    product_id: ProductId
    fields: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductRetired(DomainEvent):
    name: ClassVar[str] = "product.retired"

    product_id: ProductId


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductRestored(DomainEvent):
    name: ClassVar[str] = "product.restored"

    product_id: ProductId


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantAdded(DomainEvent):
    name: ClassVar[str] = "variant.added"

    product_id: ProductId
    variant_id: VariantId
    sku: str


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantUpdated(DomainEvent):
    name: ClassVar[str] = "variant.updated"

    product_id: ProductId
    variant_id: VariantId
    fields: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceChanged(DomainEvent):
    name: ClassVar[str] = "variant.price_changed"

    product_id: ProductId
    variant_id: VariantId
    amount: int
    currency: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StockSet(DomainEvent):
    name: ClassVar[str] = "variant.stock_set"

    product_id: ProductId
    variant_id: VariantId
    on_hand: int
