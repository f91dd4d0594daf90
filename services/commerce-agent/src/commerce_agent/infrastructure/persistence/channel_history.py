"""What gap repair remembers of channels."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.application.ports.channel_history import GapRepair
from shared.kernel.ids import ChannelId, TenantId
from shared.persistence.tables import channels

_UNKNOWN = text(
    """
    SELECT DISTINCT given.native_id FROM unnest(CAST(:ids AS text[])) AS given(native_id)
    WHERE NOT EXISTS (SELECT FROM messages m WHERE m.tenant_id = :tenant
                      AND m.channel_id = :channel AND m.kind = 'message'
                      AND m.native_id = given.native_id)
      AND NOT EXISTS (SELECT FROM sends s WHERE s.tenant_id = :tenant
                      AND s.channel_id = :channel
                      AND given.native_id IN (s.native_id, s.echoed_id))
    """
)
_HIDDEN = text(
    """
    SELECT a.address FROM customer_aliases a
    JOIN conversations c ON c.tenant_id = a.tenant_id AND c.customer_id = a.customer_id
    WHERE a.tenant_id = :tenant AND c.channel_id = :channel AND a.address LIKE '%@lid'
      AND NOT EXISTS (SELECT FROM customer_aliases p WHERE p.tenant_id = a.tenant_id
                      AND p.customer_id = a.customer_id AND p.address LIKE '%@c.us')
    ORDER BY c.last_message_at DESC NULLS LAST LIMIT :limit
    """
)


class SqlChannelHistory:
    """Keeps the promises of `ChannelHistory`."""

    def __init__(self, connection: AsyncConnection, tenant_id: TenantId) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def watermark(self, channel_id: ChannelId) -> datetime | None:
        found: datetime | None = await self._connection.scalar(
            select(channels.c.history_watermark).where(*self._mine(channel_id))
        )
        return found

    async def move_watermark(self, channel_id: ChannelId, to: datetime) -> None:
        await self._change(
            channel_id, history_watermark=func.greatest(channels.c.history_watermark, to)
        )

    async def set_gap_repair(self, channel_id: ChannelId, state: GapRepair) -> None:
        await self._change(channel_id, gap_repair=state.value)

    async def unknown_ids(self, channel_id: ChannelId, native_ids: Sequence[str]) -> set[str]:
        rows = await self._connection.execute(
            _UNKNOWN,
            {"tenant": self._tenant_id, "channel": channel_id, "ids": list(native_ids)},
        )
        return set(rows.scalars())

    async def hidden_addresses(self, channel_id: ChannelId, *, limit: int) -> list[str]:
        rows = await self._connection.execute(
            _HIDDEN, {"tenant": self._tenant_id, "channel": channel_id, "limit": limit}
        )
        return list(rows.scalars())

    async def _change(self, channel_id: ChannelId, **values: Any) -> None:
        await self._connection.execute(
            update(channels).where(*self._mine(channel_id)).values(**values)
        )

    def _mine(self, channel_id: ChannelId) -> tuple[Any, Any]:
        return channels.c.tenant_id == self._tenant_id, channels.c.id == channel_id
