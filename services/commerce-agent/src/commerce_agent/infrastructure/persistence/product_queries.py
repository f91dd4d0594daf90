"""The catalogue as screens see it, in SQL."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.application.queries.page import (
    Page,
    checked_limit,
    decode_cursor,
    encode_cursor,
    page_of,
)
from commerce_agent.application.queries.product_queries import ProductRow, VariantRow
from commerce_agent.domain.entities.product import ProductNotFound
from commerce_agent.domain.value_objects.ids import ProductId, VariantId
from commerce_agent.infrastructure.persistence.tables import products, variants
from shared.kernel.ids import TenantId
from shared.kernel.money import Money
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction

SHOWN = [column for column in products.c if column.name != "search"]
"""A product's columns; the search vector is long and says nothing to people."""


class SqlProductQueries:
    """Answers `ProductQueries`, each in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant_id: TenantId, product_id: ProductId) -> ProductRow:
        found = await self.get_many(tenant_id, [product_id])
        if not found:
            raise ProductNotFound
        return found[0]

    async def get_many(
        self, tenant_id: TenantId, product_ids: Sequence[ProductId]
    ) -> tuple[ProductRow, ...]:
        rows = await self._select(tenant_id, products.c.id.in_(product_ids))
        by_id = {row.id: row for row in rows}
        return tuple(by_id[wanted] for wanted in product_ids if wanted in by_id)

    async def list(
        self,
        tenant_id: TenantId,
        *,
        limit: int = 50,
        cursor: str | None = None,
        category: str | None = None,
        active: bool | None = None,
    ) -> Page[ProductRow]:
        limit = checked_limit(limit)
        which = []
        if cursor is not None:
            which.append(products.c.id > decode_cursor(cursor, id=UUID)["id"])
        if category is not None:
            which.append(products.c.category == category)
        if active is not None:
            which.append(products.c.active.is_(active))
        rows = await self._select(tenant_id, *which, limit=limit + 1)
        return page_of(rows, limit, lambda row: encode_cursor(id=row.id))

    async def _select(
        self, tenant_id: TenantId, *which: ColumnElement[bool], limit: int | None = None
    ) -> Sequence[ProductRow]:
        query = (
            select(*SHOWN)
            .where(products.c.tenant_id == tenant_id, *which)
            .order_by(products.c.id)
            .limit(limit)
        )
        async with Transaction(self._database, tenant_id) as tx:
            rows = (await tx.connection.execute(query)).mappings().all()
            sold_as = await variants_of(tx.connection, tenant_id, [row["id"] for row in rows])
        return [to_product_row(row, sold_as[row["id"]]) for row in rows]


async def variants_of(
    connection: AsyncConnection,
    tenant_id: TenantId,
    product_ids: Sequence[UUID],
    *which: ColumnElement[bool],
) -> Mapping[UUID, Sequence[VariantRow]]:
    """The variants of several products in their own order; a product without one has none."""
    found: defaultdict[UUID, list[VariantRow]] = defaultdict(list)
    if product_ids:
        query = (
            select(variants)
            .where(
                variants.c.tenant_id == tenant_id, variants.c.product_id.in_(product_ids), *which
            )
            .order_by(variants.c.product_id, variants.c.position, variants.c.id)
        )
        for row in (await connection.execute(query)).mappings():
            found[row["product_id"]].append(to_variant_row(row))
    return found


def to_product_row(row: Mapping[Any, Any], sold_as: Sequence[VariantRow]) -> ProductRow:
    """One product as it is shown, from its columns and its variants."""
    return ProductRow(
        id=ProductId(row["id"]),
        name=row["name"],
        category=row["category"],
        description=row["description"],
        active=row["active"],
        images=tuple(row["images"]),
        variants=tuple(sold_as),
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def to_variant_row(row: Mapping[Any, Any]) -> VariantRow:
    """One variant as it is shown."""
    return VariantRow(
        id=VariantId(row["id"]),
        sku=row["sku"],
        name=row["name"],
        price=Money(row["price"], row["currency"]),
        stock=row["on_hand"] - row["reserved"],
        on_hand=row["on_hand"],
        reserved=row["reserved"],
        attributes=row["attributes"],
        active=row["active"],
    )
