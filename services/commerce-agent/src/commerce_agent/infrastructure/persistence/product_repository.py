"""Products and their variants in SQL."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.domain.entities.product import (
    Product,
    ProductNotFound,
    SkuTaken,
    StockBelowReserved,
    Variant,
)
from commerce_agent.domain.services.optimistic_lock import ChangedMeanwhile
from commerce_agent.domain.value_objects.ids import ProductId, VariantId
from commerce_agent.infrastructure.persistence.kept import Kept, Row, violated, write_changes
from commerce_agent.infrastructure.persistence.tables import products, variants
from shared.kernel.events import DomainEvent
from shared.kernel.ids import TenantId
from shared.kernel.money import Money


class SqlProductRepository:
    """The catalogue of one tenant, inside its transaction.

    ``variants.reserved`` is read here and written by orders alone.
    """

    def __init__(self, connection: AsyncConnection, tenant_id: TenantId) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self._kept: Kept[Product] = Kept(_to_row)

    async def get(self, product_id: ProductId) -> Product:
        product = await self.find(product_id)
        if product is None:
            raise ProductNotFound
        return product

    async def find(self, product_id: ProductId) -> Product | None:
        known = self._kept.find(product_id)
        if known is not None:
            return known
        query = select(products).where(
            products.c.tenant_id == self._tenant_id, products.c.id == product_id
        )
        row = (await self._connection.execute(query)).mappings().one_or_none()
        if row is None:
            return None
        sold_as = (
            select(variants)
            .where(variants.c.tenant_id == self._tenant_id, variants.c.product_id == product_id)
            .order_by(variants.c.position, variants.c.id)
        )
        rows = (await self._connection.execute(sold_as)).mappings().all()
        return self._kept.load(_to_product(row, rows))

    async def taken_skus(self, skus: Iterable[str]) -> frozenset[str]:
        query = select(variants.c.sku).where(
            variants.c.tenant_id == self._tenant_id, variants.c.sku == func.any(list(skus))
        )
        return frozenset((await self._connection.execute(query)).scalars())

    def add(self, product: Product) -> None:
        self._kept.add(product)

    async def flush(self) -> list[DomainEvent]:
        await self._insert(self._kept.new())
        for product, changes, before in self._kept.changed():
            own = {name: value for name, value in changes.items() if name != "variants"}
            await write_changes(
                self._connection,
                products,
                tenant_id=self._tenant_id,
                aggregate=product,
                changes=own | {"updated_at": func.platform_now()},
            )
            if "variants" in changes:
                await self._write_variants(product, {v.id: v for v in before["variants"]})
        return self._kept.settle()

    async def _insert(self, new: Sequence[Product]) -> None:
        if not new:
            return
        rows = [
            {"tenant_id": self._tenant_id, "id": product.id, "version": product.version}
            | _to_row(product)
            for product in new
        ]
        for row in rows:
            del row["variants"]
        await self._connection.execute(insert(products), rows)
        await self._insert_variants(
            [
                self._variant_row(product, position, variant)
                for product in new
                for position, variant in enumerate(product.variants)
            ]
        )

    async def _insert_variants(self, rows: Sequence[Row]) -> None:
        try:
            await self._connection.execute(insert(variants), rows)
        except IntegrityError as error:
            if violated(error) == "uq_variants_tenant_id_sku":
                raise SkuTaken([row["sku"] for row in rows]) from error
            raise

    async def _write_variants(self, product: Product, before: Mapping[VariantId, Variant]) -> None:
        added = [
            self._variant_row(product, position, variant)
            for position, variant in enumerate(product.variants)
            if variant.id not in before
        ]
        if added:
            await self._insert_variants(added)
        for variant in sorted(product.variants, key=lambda v: v.sku):
            old = before.get(variant.id)
            if old is not None and old != variant:
                await self._update_variant(old, variant)

    async def _update_variant(self, old: Variant, new: Variant) -> None:
        """Orders change stock without the product's version: a count taken before is refused."""
        after, read = _variant_columns(new), _variant_columns(old)
        changes = {name: value for name, value in after.items() if value != read[name]}
        ours = (variants.c.tenant_id == self._tenant_id) & (variants.c.id == new.id)
        if "on_hand" in changes:
            ours &= variants.c.on_hand == old.on_hand
        try:
            written = await self._connection.execute(update(variants).where(ours).values(**changes))
        except IntegrityError as error:
            if violated(error) == "ck_variants_stock":
                raise StockBelowReserved(sku=new.sku, wanted=new.on_hand) from error
            raise
        if written.rowcount != 1:
            raise ChangedMeanwhile

    def _variant_row(self, product: Product, position: int, variant: Variant) -> Row:
        return {
            "tenant_id": self._tenant_id,
            "id": variant.id,
            "product_id": product.id,
            "position": position,
            "sku": variant.sku,
            "reserved": variant.reserved,
        } | _variant_columns(variant)


def _variant_columns(variant: Variant) -> Row:
    """The columns that the catalogue may change."""
    return {
        "name": variant.name,
        "price": variant.price.amount,
        "currency": variant.price.currency,
        "on_hand": variant.on_hand,
        "attributes": dict(variant.attributes),
        "active": variant.active,
    }


def _to_row(product: Product) -> Row:
    return {
        "name": product.name,
        "category": product.category,
        "description": product.description,
        "active": product.active,
        "images": list(product.images),
        "variants": product.variants,
    }


def _to_product(row: Mapping[Any, Any], sold_as: Sequence[Mapping[Any, Any]]) -> Product:
    return Product(
        id=ProductId(row["id"]),
        tenant_id=TenantId(row["tenant_id"]),
        name=row["name"],
        category=row["category"],
        description=row["description"],
        active=row["active"],
        images=tuple(row["images"]),
        variants=tuple(_to_variant(variant) for variant in sold_as),
        version=row["version"],
    )


def _to_variant(row: Mapping[Any, Any]) -> Variant:
    return Variant(
        id=VariantId(row["id"]),
        sku=row["sku"],
        name=row["name"],
        price=Money(row["price"], row["currency"]),
        on_hand=row["on_hand"],
        reserved=row["reserved"],
        attributes=row["attributes"],
        active=row["active"],
    )
