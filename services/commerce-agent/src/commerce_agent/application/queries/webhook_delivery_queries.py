"""What screens and REST show of callbacks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from commerce_agent.application.queries.page import Page
from shared.kernel.errors import NotFound
from shared.kernel.ids import TenantId


class WebhookDeliveryNotFound(NotFound):
    """There is no such delivery."""

    code = "webhook_delivery_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    id: UUID
    job_id: UUID
    type: str
    url: str
    state: str
    """``pending``, ``delivered`` or ``failed``."""
    attempts: int
    last_status: int | None
    last_error: str | None
    next_at: datetime | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryAttemptRow:
    number: int
    started_at: datetime
    milliseconds: int | None
    """``None``: it is under way, or the worker stopped in the middle of it."""
    status: int | None
    error: str | None


class WebhookDeliveries(Protocol):
    """One tenant's callbacks, and the way to send one again."""

    async def list(
        self,
        tenant_id: TenantId,
        *,
        state: str | None = None,
        job_id: UUID | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[DeliveryRow]:
        """A page, the newest first. Raises `BadCursor`, `BadLimit`."""
        ...

    async def get(
        self, tenant_id: TenantId, delivery_id: UUID
    ) -> tuple[DeliveryRow, Sequence[DeliveryAttemptRow]]:
        """One with its newest attempts, the last first. Raises `WebhookDeliveryNotFound`."""
        ...

    async def replay(self, tenant_id: TenantId, delivery_id: UUID) -> DeliveryRow:
        """Send it again now, whatever has become of it, and begin the waits anew. It keeps its
        id, by which a receiver that has it already knows it. Raises `WebhookDeliveryNotFound`."""
        ...
