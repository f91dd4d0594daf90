"""Reads across tenants, for the operator and for finding the tenant that somebody named."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from commerce_agent.application.queries.page import Page
from commerce_agent.domain.entities.tenant import ShopProfile
from shared.kernel.ids import TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRow:
    id: TenantId
    slug: str
    name: str
    status: str
    currency: str
    timezone: str
    language: str
    profile: ShopProfile
    llm_config_name: str
    version: int
    created_at: datetime


class TenantQueries(Protocol):
    """Answers under the operator's role: callers decide first whether the asker may know."""

    async def get(self, tenant_id: TenantId) -> TenantRow:
        """Raises `TenantNotFound`."""
        ...

    async def named(self, slug_or_id: str) -> TenantRow:
        """The tenant of a slug, or of an id. Raises `TenantNotFound`."""
        ...

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[TenantRow]:
        """A page in the order of creation. Raises `BadCursor`, `BadLimit`."""
        ...
