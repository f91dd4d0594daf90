"""The product and its variants: what a shop sells, for how much, and how many there are."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from commerce_agent.domain.events.product_events import (
    PriceChanged,
    ProductCreated,
    ProductRestored,
    ProductRetired,
    ProductUpdated,
    StockSet,
    VariantAdded,
    VariantUpdated,
)
from commerce_agent.domain.value_objects.currency import currency as read_currency
from commerce_agent.domain.value_objects.ids import ProductId, VariantId
from commerce_agent.domain.value_objects.text import line, lines, optional_line, paragraph
from shared.kernel.errors import Conflict, Invalid, NotFound
from shared.kernel.events import Aggregate
from shared.kernel.ids import TenantId, new_id
from shared.kernel.money import CurrencyMismatch, Money


class ProductNotFound(NotFound):
    """There is no such product."""

    code = "product_not_found"


class VariantNotFound(NotFound):
    """This product has no such variant."""

    code = "variant_not_found"


class SkuTaken(Conflict):
    """Another variant of this shop has this SKU. ``data['skus']`` names it."""

    code = "sku_taken"

    def __init__(self, skus: Sequence[str]) -> None:
        super().__init__(f"already in use: {', '.join(skus[:5])}", skus=list(skus))


class StockBelowReserved(Conflict):
    """More is promised to customers than that."""

    code = "stock_below_reserved"


class BadProduct(Invalid):
    """A product cannot be like this."""

    code = "bad_product"


MOST_VARIANTS = 100
LARGEST_PRICE = 10**12
"""In minor units; beyond it somebody's finger stayed on the zero."""
LARGEST_STOCK = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantDraft:
    """A variant as somebody describes it, before it is checked."""

    sku: str
    price: Money
    name: str = ""
    on_hand: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductDraft:
    """A product as somebody describes it, before it is checked."""

    name: str
    variants: Sequence[VariantDraft]
    category: str = ""
    description: str = ""
    images: Sequence[str] = ()
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One size, taste or packing of a product: the thing that is priced, counted and sold."""

    id: VariantId
    sku: str
    name: str
    """Empty for a product that comes one way only."""
    price: Money
    on_hand: int = 0
    reserved: int = 0
    """Promised to confirmed orders; changed by orders only."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    active: bool = True

    @property
    def stock(self) -> int:
        """What can be sold."""
        return self.on_hand - self.reserved

    @property
    def is_available(self) -> bool:
        return self.active and self.stock > 0


@dataclass(eq=False, kw_only=True)
class Product(Aggregate):
    """Something the shop sells. At least one variant, each with a SKU of its own."""

    id: ProductId
    tenant_id: TenantId
    name: str
    variants: tuple[Variant, ...]
    category: str = ""
    description: str = ""
    images: tuple[str, ...] = ()
    """Paths below the media store, the first is the one that is shown."""
    active: bool = True
    version: int = 1

    @classmethod
    def create(
        cls, draft: ProductDraft, *, tenant_id: TenantId, currency: str, at: datetime
    ) -> "Product":
        """Add a product to the catalogue of a shop that counts in ``currency``.

        Raises:
            BadText, BadProduct: a text, number or picture path is out of bounds.
            CurrencyMismatch: a price is in another currency.
            SkuTaken: two variants share a SKU.
        """
        if not draft.variants:
            raise BadProduct("a product needs at least one variant")
        product = cls(
            id=ProductId(new_id()),
            tenant_id=tenant_id,
            name=line(draft.name, field="name"),
            variants=(),
            category=optional_line(draft.category, field="category", longest=100),
            description=paragraph(draft.description, field="description"),
            images=_images(draft.images),
            active=draft.active,
        )
        for variant in draft.variants:
            product._take(variant, currency=currency)
        product._record(ProductCreated(tenant_id=tenant_id, occurred_at=at, product_id=product.id))
        return product

    def variant(self, variant_id: VariantId) -> Variant:
        """One of the variants; raises `VariantNotFound`."""
        for variant in self.variants:
            if variant.id == variant_id:
                return variant
        raise VariantNotFound

    def rename(self, name: str, *, at: datetime) -> None:
        """Give it another name. Raises `BadText`."""
        self._change(at, name=line(name, field="name"))

    def describe(
        self, *, at: datetime, category: str | None = None, description: str | None = None
    ) -> None:
        """Say what it is; ``None`` leaves a field as it is, an empty text clears it."""
        changes = {}
        if category is not None:
            changes["category"] = optional_line(category, field="category", longest=100)
        if description is not None:
            changes["description"] = paragraph(description, field="description")
        self._change(at, **changes)

    def show(self, images: Iterable[str], *, at: datetime) -> None:
        """Replace the pictures. Raises `BadProduct` for a path that leaves the media store."""
        self._change(at, images=_images(images))

    def retire(self, *, at: datetime) -> None:
        """Take it out of sale; orders that hold it keep it. Twice changes nothing."""
        if self.active:
            self.active = False
            self._record(
                ProductRetired(tenant_id=self.tenant_id, occurred_at=at, product_id=self.id)
            )

    def restore(self, *, at: datetime) -> None:
        """Put it back on sale. Twice changes nothing."""
        if not self.active:
            self.active = True
            self._record(
                ProductRestored(tenant_id=self.tenant_id, occurred_at=at, product_id=self.id)
            )

    def add_variant(self, draft: VariantDraft, *, at: datetime) -> Variant:
        """Offer it another way. Raises as `create` does."""
        added = self._take(draft, currency=self.variants[0].price.currency)
        self._record(
            VariantAdded(
                tenant_id=self.tenant_id,
                occurred_at=at,
                product_id=self.id,
                variant_id=added.id,
                sku=added.sku,
            )
        )
        return added

    def set_price(self, variant_id: VariantId, price: Money, *, at: datetime) -> None:
        """Ask another price from now on; confirmed orders keep theirs.

        Raises:
            VariantNotFound: not one of this product's.
            BadProduct: the price is negative or absurdly large.
            CurrencyMismatch: it is in another currency.
        """
        variant = self.variant(variant_id)
        checked = _price(price, variant.price.currency)
        if checked == variant.price:
            return
        self._put(replace(variant, price=checked))
        self._record(
            PriceChanged(
                tenant_id=self.tenant_id,
                occurred_at=at,
                product_id=self.id,
                variant_id=variant_id,
                amount=checked.amount,
                currency=checked.currency,
            )
        )

    def set_stock(self, variant_id: VariantId, on_hand: int, *, at: datetime) -> None:
        """Say how many were counted on the shelf, those promised to customers included.

        Raises:
            VariantNotFound: not one of this product's.
            BadProduct: less than none, or absurdly many.
            StockBelowReserved: fewer than are promised.
        """
        variant = self.variant(variant_id)
        _count(on_hand)
        if on_hand < variant.reserved:
            raise StockBelowReserved(sku=variant.sku, reserved=variant.reserved, wanted=on_hand)
        if on_hand == variant.on_hand:
            return
        self._put(replace(variant, on_hand=on_hand))
        self._record(
            StockSet(
                tenant_id=self.tenant_id,
                occurred_at=at,
                product_id=self.id,
                variant_id=variant_id,
                on_hand=on_hand,
            )
        )

    def change_variant(
        self,
        variant_id: VariantId,
        *,
        at: datetime,
        name: str | None = None,
        attributes: Mapping[str, str] | None = None,
        active: bool | None = None,
    ) -> None:
        """Change what is given of a variant; ``None`` leaves it as it is."""
        before = self.variant(variant_id)
        after = replace(
            before,
            name=before.name if name is None else _variant_name(name),
            attributes=before.attributes if attributes is None else _attributes(attributes),
            active=before.active if active is None else active,
        )
        fields = tuple(
            name
            for name in ("name", "attributes", "active")
            if getattr(before, name) != getattr(after, name)
        )
        if not fields:
            return
        self._put(after)
        self._record(
            VariantUpdated(
                tenant_id=self.tenant_id,
                occurred_at=at,
                product_id=self.id,
                variant_id=variant_id,
                fields=fields,
            )
        )

    def _take(self, draft: VariantDraft, *, currency: str) -> Variant:
        if len(self.variants) >= MOST_VARIANTS:
            raise BadProduct(f"a product has at most {MOST_VARIANTS} variants")
        sku = _sku(draft.sku)
        if any(variant.sku == sku for variant in self.variants):
            raise SkuTaken([sku])
        variant = Variant(
            id=VariantId(new_id()),
            sku=sku,
            name=_variant_name(draft.name),
            price=_price(draft.price, currency),
            on_hand=_count(draft.on_hand),
            attributes=_attributes(draft.attributes),
            active=draft.active,
        )
        self.variants = (*self.variants, variant)
        return variant

    def _put(self, changed: Variant) -> None:
        self.variants = tuple(changed if v.id == changed.id else v for v in self.variants)

    def _change(self, at: datetime, **values: object) -> None:
        changes = {name: value for name, value in values.items() if value != getattr(self, name)}
        for name, value in changes.items():
            setattr(self, name, value)
        if changes:
            self._record(
                ProductUpdated(
                    tenant_id=self.tenant_id,
                    occurred_at=at,
                    product_id=self.id,
                    fields=tuple(changes),
                )
            )


_SKU = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")


def _sku(text: str) -> str:
    sku = text.strip()
    if not _SKU.fullmatch(sku):
        raise BadProduct("a SKU is 1 to 64 letters, digits and . _ / -")
    return sku


def _variant_name(text: str) -> str:
    return optional_line(text, field="variant name", longest=100)


def _price(price: Money, currency: str) -> Money:
    if read_currency(price.currency) != currency:
        raise CurrencyMismatch(f"this shop counts in {currency}, not {price.currency}")
    if not 0 <= price.amount <= LARGEST_PRICE:
        raise BadProduct("a price is not negative and at most 12 digits")
    return price


def _count(number: int) -> int:
    if not 0 <= number <= LARGEST_STOCK:
        raise BadProduct("stock is not negative and at most a billion")
    return number


def _attributes(given: Mapping[str, str]) -> dict[str, str]:
    if len(given) > 20:
        raise BadProduct("a variant has at most 20 attributes")
    return {
        line(name, field="attribute name", longest=50): optional_line(
            value, field="attribute", longest=200
        )
        for name, value in given.items()
    }


def _images(paths: Iterable[str]) -> tuple[str, ...]:
    kept = lines(paths, field="images", most=10, longest=300)
    for path in kept:
        parts = path.split("/")
        if "\\" in path or ":" in path or any(part in ("", ".", "..") for part in parts):
            raise BadProduct("a picture is named by its path below the media store")
    return kept
