"""What screens and REST show of channels; never a secret."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from commerce_agent.application.queries.page import Page
from shared.kernel.ids import ChannelId, TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRow:
    id: ChannelId
    kind: str
    name: str
    session: str
    base_url: str | None
    has_api_key: bool
    state: str
    phone: str | None
    active: bool
    rotating_secret: bool
    """The secret before the present one is still accepted."""
    gap_repair: str
    history_watermark: datetime | None
    version: int
    created_at: datetime


class ChannelQueries(Protocol):
    """Reads of one tenant's channels."""

    async def get(self, tenant_id: TenantId, channel_id: ChannelId) -> ChannelRow:
        """Raises `ChannelNotFound`."""
        ...

    async def list(
        self,
        tenant_id: TenantId,
        *,
        limit: int = 50,
        cursor: str | None = None,
        kind: str | None = None,
    ) -> Page[ChannelRow]:
        """A page in the order of creation. Raises `BadCursor`, `BadLimit`."""
        ...
