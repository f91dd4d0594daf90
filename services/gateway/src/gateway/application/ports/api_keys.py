"""Where API keys are kept."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from gateway.domain.entities.api_key import Scope
from shared.kernel.ids import TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A key's row, as authentication needs it."""

    id: UUID
    name: str
    tenant_id: TenantId | None
    tenant_slug: str | None
    tenant_active: bool
    """True for an operator's key, which has no tenant."""
    digest: bytes
    scopes: tuple[str, ...]
    usable: bool
    """Neither revoked nor expired by the database's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    id: UUID
    tenant_id: TenantId | None
    name: str
    prefix: str
    digest: bytes
    scopes: Collection[Scope]
    expires_at: datetime | None = None


class ApiKeyStore(Protocol):
    async def find(self, prefix: str) -> StoredKey | None:
        """Look a key up before its tenant is known, and note that it is in use."""
        ...

    async def add(self, key: NewKey) -> None:
        """Raises NotFound when the tenant does not exist."""
        ...

    async def revoke(self, tenant_id: TenantId | None, prefix: str) -> None:
        """Raises NotFound when this tenant (or the operators) has no such key."""
        ...
