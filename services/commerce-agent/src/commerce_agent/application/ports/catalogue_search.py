"""Finding products in the words that customers use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from commerce_agent.application.queries.product_queries import ProductRow
from shared.kernel.ids import TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The best matches first; each holds only the variants that are for sale."""

    products: tuple[ProductRow, ...]
    total: int
    """How many match, also beyond ``limit``."""
    near: bool = False
    """Nothing fits all the words: these are the nearest."""


class CatalogueSearch(Protocol):
    """Sees what is for sale: active products with at least one active variant."""

    async def search(
        self, tenant_id: TenantId, query: str, *, category: str | None = None, limit: int = 8
    ) -> SearchResult:
        """Find products by name, category or description.

        Forgives typing errors, knows the tenant's synonyms, and reads past the small talk of chats.
        A query without a word to search for shows something of each category. A ``category`` that
        the shop does not have is read as part of the query. Any text is a fine query.
        """
        ...

    async def categories(self, tenant_id: TenantId) -> tuple[str, ...]:
        """The categories that have something for sale, by name."""
        ...


class SearchSynonyms(Protocol):
    """A tenant's own words: what customers say and what the catalogue calls it."""

    async def get(self, tenant_id: TenantId) -> Mapping[str, Sequence[str]]:
        """From what is said to what it may mean."""
        ...

    async def put(self, tenant_id: TenantId, synonyms: Mapping[str, Sequence[str]]) -> None:
        """Add these; what was known of the same words is replaced.

        Raises:
            BadText: a word is empty, too long or unreadable.
        """
        ...
