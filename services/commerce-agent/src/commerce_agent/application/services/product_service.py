"""Keeping the catalogue."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from commerce_agent.application.unit_of_work import UnitOfWork, UnitOfWorkFactory
from commerce_agent.domain.entities.product import (
    Product,
    ProductDraft,
    SkuTaken,
    Variant,
    VariantDraft,
)
from commerce_agent.domain.services.optimistic_lock import expect_version
from commerce_agent.domain.value_objects.ids import ProductId, VariantId
from shared.kernel.clock import Clock
from shared.kernel.ids import TenantId
from shared.kernel.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What became of many drafts."""

    created: tuple[Product, ...]
    skipped: int
    """Drafts of which a SKU was in the catalogue already."""


@dataclass(frozen=True, slots=True)
class ProductService:
    """What staff and importers do with products; customers change none."""

    uow: UnitOfWorkFactory
    now: Clock

    async def create(self, tenant_id: TenantId, draft: ProductDraft) -> Product:
        """Add a product.

        Raises:
            SkuTaken: another variant of the shop has the SKU.
            CurrencyMismatch: a price is not in the shop's currency.
            BadProduct, BadText: something is out of bounds.
        """
        loaded = await self.create_many(tenant_id, [draft])
        return loaded.created[0]

    async def create_many(
        self,
        tenant_id: TenantId,
        drafts: Iterable[ProductDraft],
        *,
        on_existing: Literal["refuse", "skip"] = "refuse",
    ) -> Loaded:
        """Add products, all or none.

        With ``on_existing="skip"`` a draft of which a SKU is in the catalogue is left out, so
        loading the same file again adds nothing.

        Raises:
            SkuTaken: a SKU is in use, or stands twice among the drafts.
            CurrencyMismatch, BadProduct, BadText: of the first draft that is out of bounds.
        """
        async with self.uow(tenant_id) as uow:
            tenant = await uow.tenants.get(tenant_id)
            at = self.now()
            made = [
                Product.create(draft, tenant_id=tenant_id, currency=tenant.currency, at=at)
                for draft in drafts
            ]
            _refuse_repeated(made)
            taken = await uow.products.taken_skus(_skus(made))
            if taken and on_existing == "refuse":
                raise SkuTaken(sorted(taken))
            fresh = [product for product in made if taken.isdisjoint(_skus([product]))]
            for product in fresh:
                uow.products.add(product)
            await uow.commit()
        return Loaded(created=tuple(fresh), skipped=len(made) - len(fresh))

    async def get(self, tenant_id: TenantId, product_id: ProductId) -> Product:
        """Raises `ProductNotFound`."""
        async with self.uow(tenant_id) as uow:
            return await uow.products.get(product_id)

    async def update(
        self,
        tenant_id: TenantId,
        product_id: ProductId,
        *,
        name: str | None = None,
        category: str | None = None,
        description: str | None = None,
        images: Sequence[str] | None = None,
        active: bool | None = None,
        expected_version: int | None = None,
    ) -> Product:
        """Change what is given; ``None`` leaves a field as it is.

        Raises:
            ProductNotFound, ChangedMeanwhile, BadProduct, BadText: as they say.
        """
        async with self.uow(tenant_id) as uow:
            product = await _seen(uow, product_id, expected_version)
            at = self.now()
            if name is not None:
                product.rename(name, at=at)
            product.describe(category=category, description=description, at=at)
            if images is not None:
                product.show(images, at=at)
            if active is not None:
                product.restore(at=at) if active else product.retire(at=at)
            await uow.commit()
        return product

    async def retire(self, tenant_id: TenantId, product_id: ProductId) -> Product:
        """Take a product out of sale."""
        return await self.update(tenant_id, product_id, active=False)

    async def add_variant(
        self,
        tenant_id: TenantId,
        product_id: ProductId,
        draft: VariantDraft,
        *,
        expected_version: int | None = None,
    ) -> tuple[Product, Variant]:
        """Offer a product another way. Raises as `create` does, and `ProductNotFound`."""
        async with self.uow(tenant_id) as uow:
            product = await _seen(uow, product_id, expected_version)
            variant = product.add_variant(draft, at=self.now())
            if await uow.products.taken_skus([variant.sku]):
                raise SkuTaken([variant.sku])
            await uow.commit()
        return product, variant

    async def update_variant(
        self,
        tenant_id: TenantId,
        product_id: ProductId,
        variant_id: VariantId,
        *,
        name: str | None = None,
        price: Money | None = None,
        on_hand: int | None = None,
        attributes: Mapping[str, str] | None = None,
        active: bool | None = None,
        expected_version: int | None = None,
    ) -> Product:
        """Change what is given of a variant, all or nothing; ``None`` leaves a field as it is.

        Raises:
            ProductNotFound, VariantNotFound, ChangedMeanwhile, StockBelowReserved,
            CurrencyMismatch, BadProduct, BadText: as they say.
        """
        async with self.uow(tenant_id) as uow:
            product = await _seen(uow, product_id, expected_version)
            at = self.now()
            product.change_variant(
                variant_id, name=name, attributes=attributes, active=active, at=at
            )
            if price is not None:
                product.set_price(variant_id, price, at=at)
            if on_hand is not None:
                product.set_stock(variant_id, on_hand, at=at)
            await uow.commit()
        return product

    async def set_price(
        self, tenant_id: TenantId, product_id: ProductId, variant_id: VariantId, price: Money
    ) -> Product:
        """Ask another price from now on."""
        return await self.update_variant(tenant_id, product_id, variant_id, price=price)

    async def set_stock(
        self, tenant_id: TenantId, product_id: ProductId, variant_id: VariantId, on_hand: int
    ) -> Product:
        """Say how many were counted on the shelf, reserved ones included."""
        return await self.update_variant(tenant_id, product_id, variant_id, on_hand=on_hand)


async def _seen(uow: UnitOfWork, product_id: ProductId, expected: int | None) -> Product:
    product = await uow.products.get(product_id)
    expect_version(product.version, expected)
    return product


def _skus(products: Iterable[Product]) -> list[str]:
    return [variant.sku for product in products for variant in product.variants]


def _refuse_repeated(products: Iterable[Product]) -> None:
    seen: set[str] = set()
    for sku in _skus(products):
        if sku in seen:
            raise SkuTaken([sku])
        seen.add(sku)
