"""Where tenants are kept."""

from typing import Protocol

from commerce_agent.domain.entities.tenant import Tenant
from shared.kernel.ids import TenantId


class TenantRepository(Protocol):
    """Inside a unit of work: sees its one tenant."""

    async def get(self, tenant_id: TenantId) -> Tenant:
        """Raises `TenantNotFound`, also for every other tenant."""
        ...


class TenantRegistry(Protocol):
    """Makes tenants; the one write that belongs to none yet."""

    async def add(self, tenant: Tenant) -> None:
        """Keep a new tenant and its events, at once and together.

        Raises:
            SlugTaken: nothing was kept.
        """
        ...
