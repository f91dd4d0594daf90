"""What screens and REST show of customers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from commerce_agent.application.queries.page import Page
from commerce_agent.domain.value_objects.ids import CustomerId
from shared.kernel.ids import TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerRow:
    id: CustomerId
    name: str | None
    phone: str | None
    address: str | None
    language: str | None
    note: str | None
    opted_out: bool
    addresses: tuple[str, ...]
    """The customer's WhatsApp addresses, oldest first."""
    version: int
    created_at: datetime


class CustomerQueries(Protocol):
    """Reads of one tenant's customers."""

    async def get(self, tenant_id: TenantId, customer_id: CustomerId) -> CustomerRow:
        """Raises `CustomerNotFound`."""
        ...

    async def list(
        self,
        tenant_id: TenantId,
        *,
        limit: int = 50,
        cursor: str | None = None,
        search: str | None = None,
    ) -> Page[CustomerRow]:
        """A page, the newest first; ``search`` is part of a name or of a number.

        Raises `BadCursor`, `BadLimit`.
        """
        ...
