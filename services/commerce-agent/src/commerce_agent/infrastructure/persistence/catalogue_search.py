"""Finding products by PostgreSQL's text search, in the words that customers use.

The database finds and ranks; which words to look for is decided by `CatalogueWords`. So prices and
stock are always those of the moment, and only the list of a shop's words may be a little old.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.application.ports.catalogue_search import SearchResult
from commerce_agent.application.queries.product_queries import VariantRow
from commerce_agent.domain.services.catalogue_words import CatalogueWords, Term
from commerce_agent.domain.services.search_synonyms import with_tenant_words
from commerce_agent.infrastructure.persistence.product_queries import (
    to_product_row,
    to_variant_row,
)
from commerce_agent.infrastructure.persistence.search_sql import FOR_SALE, browsing, matching
from commerce_agent.infrastructure.persistence.search_synonyms import synonyms_of
from shared.kernel.ids import TenantId
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction

LARGEST_RESULT = 50
_MOST_TENANTS = 256

_NAMES = text(f"SELECT p.name FROM products p WHERE {FOR_SALE}")  # noqa: S608 - constants
_VARIANT_NAMES = text(
    "SELECT DISTINCT name FROM variants WHERE tenant_id = :tenant AND active AND name <> ''"
)
_CATEGORIES = text(
    f"SELECT DISTINCT p.category FROM products p WHERE {FOR_SALE} AND p.category <> ''"  # noqa: S608
    " ORDER BY p.category"
)


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
            values: dict[str, Any] = {"tenant": tenant_id, "limit": limit}
            if category is not None:
                meant = words.categories_meant(category)
                if meant:
                    values["categories"] = list(meant)
                else:
                    query = f"{query} {category}"
            terms = words.terms(query)
            if not terms:
                return await _page(tx.connection, browsing("categories" in values), values)
            return await _find(tx.connection, terms, values)

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
    known = {"tenant": tenant_id}
    named = await connection.execute(_NAMES, known)
    sizes = await connection.execute(_VARIANT_NAMES, known)
    synonyms = await synonyms_of(connection, tenant_id)
    return CatalogueWords(
        names=named.scalars().all(),
        categories=await _categories(connection, tenant_id),
        variant_names=sizes.scalars().all(),
        synonyms=with_tenant_words(synonyms.items()),
    )


async def _categories(connection: AsyncConnection, tenant_id: TenantId) -> tuple[str, ...]:
    return tuple((await connection.execute(_CATEGORIES, {"tenant": tenant_id})).scalars())


async def _find(
    connection: AsyncConnection, terms: Sequence[Term], values: Mapping[str, Any]
) -> SearchResult:
    """All words; else all words with their misspellings forgiven; else any of them."""
    as_said = [term.as_said() for term in terms]
    attempts = ((as_said, True), (terms, True), (terms, False))
    for meant, all_of_them in attempts:
        statement, own = matching(
            meant, all_of_them=all_of_them, within_categories="categories" in values
        )
        found = await _page(connection, statement, {**values, **own})
        if found.products:
            return replace(found, near=not all_of_them)
    return SearchResult(products=(), total=0)


async def _page(
    connection: AsyncConnection, statement: TextClause, values: Mapping[str, Any]
) -> SearchResult:
    rows = (await connection.execute(statement, values)).mappings().all()
    return SearchResult(
        products=tuple(
            to_product_row(row, [_variant_row(each) for each in row["variants"]]) for row in rows
        ),
        total=rows[0]["total"] if rows else 0,
    )


def _variant_row(variant: Mapping[str, Any]) -> VariantRow:
    return to_variant_row({**variant, "id": UUID(variant["id"])})
