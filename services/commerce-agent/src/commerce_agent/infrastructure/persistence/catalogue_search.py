"""Finding products by PostgreSQL's text search, in the words that customers use.

The database finds and ranks; which words to look for is decided by `CatalogueWords`. So prices and
stock are always those of the moment, and only the list of a shop's words may be a little old.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.application.ports.catalogue_search import SearchResult
from commerce_agent.domain.services.catalogue_words import CatalogueWords, Term
from commerce_agent.domain.services.search_synonyms import with_tenant_words
from commerce_agent.infrastructure.persistence.product_queries import (
    SHOWN,
    to_product_row,
    variants_of,
)
from commerce_agent.infrastructure.persistence.search_sql import (
    closeness,
    fits_all,
    fits_any,
    has_stock,
    is_for_sale,
)
from commerce_agent.infrastructure.persistence.search_synonyms import synonyms_of
from commerce_agent.infrastructure.persistence.tables import products, variants
from shared.kernel.ids import TenantId
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction

LARGEST_RESULT = 50
_MOST_TENANTS = 256


class SqlCatalogueSearch:
    """Answers `CatalogueSearch`.

    A shop's words are kept in this process for ``words_ttl``: for so long a new product is found by
    its right name only, not by a misspelled one.
    """

    def __init__(
        self,
        database: Database,
        *,
        words_ttl: timedelta = timedelta(seconds=15),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._words_ttl = words_ttl.total_seconds()
        self._monotonic = monotonic
        self._words: dict[TenantId, tuple[float, CatalogueWords]] = {}

    async def search(
        self, tenant_id: TenantId, query: str, *, category: str | None = None, limit: int = 8
    ) -> SearchResult:
        limit = max(1, min(limit, LARGEST_RESULT))
        async with Transaction(self._database, tenant_id) as tx:
            words = await self._words_of(tx.connection, tenant_id)
            within: list[ColumnElement[bool]] = [is_for_sale(tenant_id)]
            if category is not None:
                meant = words.categories_meant(category)
                if meant:
                    within.append(products.c.category.in_(meant))
                else:
                    query = f"{query} {category}"
            terms = words.terms(query)
            if not terms:
                return await _browse(tx.connection, tenant_id, within, limit)
            return await _find(tx.connection, tenant_id, terms, within, limit)

    async def categories(self, tenant_id: TenantId) -> tuple[str, ...]:
        async with Transaction(self._database, tenant_id) as tx:
            return await _categories(tx.connection, tenant_id)

    async def _words_of(self, connection: AsyncConnection, tenant_id: TenantId) -> CatalogueWords:
        known = self._words.get(tenant_id)
        if known is not None and self._monotonic() < known[0]:
            return known[1]
        words = await _load_words(connection, tenant_id)
        if len(self._words) >= _MOST_TENANTS:
            self._words.clear()
        self._words[tenant_id] = (self._monotonic() + self._words_ttl, words)
        return words


async def _load_words(connection: AsyncConnection, tenant_id: TenantId) -> CatalogueWords:
    for_sale = is_for_sale(tenant_id)
    named = await connection.execute(select(products.c.name).where(for_sale))
    sizes = await connection.execute(
        select(variants.c.name)
        .where(variants.c.tenant_id == tenant_id, variants.c.active, variants.c.name != "")
        .distinct()
    )
    synonyms = await synonyms_of(connection, tenant_id)
    return CatalogueWords(
        names=named.scalars().all(),
        categories=await _categories(connection, tenant_id),
        variant_names=sizes.scalars().all(),
        synonyms=with_tenant_words(synonyms.items()),
    )


async def _categories(connection: AsyncConnection, tenant_id: TenantId) -> tuple[str, ...]:
    query = (
        select(products.c.category)
        .where(is_for_sale(tenant_id), products.c.category != "")
        .distinct()
        .order_by(products.c.category)
    )
    return tuple((await connection.execute(query)).scalars())


async def _find(
    connection: AsyncConnection,
    tenant_id: TenantId,
    terms: Sequence[Term],
    within: Sequence[ColumnElement[bool]],
    limit: int,
) -> SearchResult:
    """All words; else all words with their misspellings forgiven; else any of them."""
    as_said = [term.as_said() for term in terms]
    attempts = (
        (as_said, fits_all(as_said), False),
        (terms, fits_all(terms), False),
        (terms, fits_any(terms), True),
    )
    for meant, fits, near in attempts:
        order = (*closeness(meant, tenant_id), products.c.name, products.c.id)
        found = await _page(connection, tenant_id, and_(*within, fits), order, limit)
        if found.products:
            return SearchResult(products=found.products, total=found.total, near=near)
    return SearchResult(products=(), total=0)


async def _browse(
    connection: AsyncConnection,
    tenant_id: TenantId,
    within: Sequence[ColumnElement[bool]],
    limit: int,
) -> SearchResult:
    """Something of each category in turn, what is in stock first, in the shop's own order."""
    turn = func.row_number().over(
        partition_by=products.c.category, order_by=(has_stock(tenant_id).desc(), products.c.id)
    )
    order = (turn, products.c.category)
    return await _page(connection, tenant_id, and_(*within), order, limit)


async def _page(
    connection: AsyncConnection,
    tenant_id: TenantId,
    which: ColumnElement[bool],
    order: Sequence[ColumnElement[Any]],
    limit: int,
) -> SearchResult:
    query = (
        select(*SHOWN, func.count().over().label("total"))
        .where(which)
        .order_by(*order)
        .limit(limit)
    )
    rows: Sequence[Mapping[Any, Any]] = (await connection.execute(query)).mappings().all()
    ids = [row["id"] for row in rows]
    sold_as = await variants_of(connection, tenant_id, ids, variants.c.active)
    return SearchResult(
        products=tuple(to_product_row(row, sold_as[row["id"]]) for row in rows),
        total=rows[0]["total"] if rows else 0,
    )
