"""Opens the channel of a bubble: reads its row, unseals its key, remembers it for a few seconds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx2
from sqlalchemy import select

from messenger.application.ports import Channel
from messenger.infrastructure.simulator_channel import SimulatorChannel
from messenger.infrastructure.waha_channel import WahaChannel
from shared.cache.port import Cache
from shared.kernel.ids import ChannelId, TenantId
from shared.persistence.database import Database
from shared.persistence.tables import channels, tenants
from shared.persistence.unit_of_work import Transaction
from shared.security.crypto import KeyRing
from shared.waha.send import NotSent

_KEPT_SECONDS = 10.0
_MOST_KEPT = 1_000

_ROW = select(channels, tenants.c.wrapped_key, tenants.c.status.label("tenant_status")).join(
    tenants, tenants.c.id == channels.c.tenant_id
)


class ChannelClosed(NotSent):
    """The channel is switched off, or its shop is."""

    code = "channel_closed"


@dataclass(slots=True, kw_only=True)
class ChannelDirectory:
    """`Channels` over the runtime role's database. ``transport`` is shared by all WAHA servers
    and belongs to whoever made it."""

    database: Database
    cache: Cache
    keys: KeyRing
    transport: httpx2.AsyncBaseTransport
    call_timeout: timedelta
    monotonic: Callable[[], float]
    _kept: dict[ChannelId, tuple[float, Channel]] = field(default_factory=dict, init=False)

    async def open(self, tenant_id: TenantId, channel_id: ChannelId) -> Channel:
        kept = self._kept.get(channel_id)
        if kept and kept[0] > self.monotonic():
            return kept[1]
        channel = await self._read(tenant_id, channel_id)
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[channel_id] = (self.monotonic() + _KEPT_SECONDS, channel)
        return channel

    def forget(self, channel_id: ChannelId) -> None:
        self._kept.pop(channel_id, None)

    async def _read(self, tenant_id: TenantId, channel_id: ChannelId) -> Channel:
        query = _ROW.where(channels.c.tenant_id == tenant_id, channels.c.id == channel_id)
        async with Transaction(self.database, tenant_id) as tx:
            row = (await tx.connection.execute(query)).mappings().one_or_none()
        if row is None or not row["active"] or row["tenant_status"] != "active":
            raise ChannelClosed
        if row["kind"] == "simulator":
            return SimulatorChannel(self.database, self.cache, tenant_id, channel_id)
        return self._waha(tenant_id, channel_id, row)

    def _waha(self, tenant_id: TenantId, channel_id: ChannelId, row: Any) -> Channel:
        headers = {}
        if row["api_key_ciphertext"] is not None:
            cipher = self.keys.tenant(tenant_id, bytes(row["wrapped_key"]))
            headers["x-api-key"] = cipher.open(
                bytes(row["api_key_ciphertext"]),
                table="channels",
                column="api_key_ciphertext",
                row=channel_id,
            )
        client = httpx2.AsyncClient(
            transport=self.transport,
            base_url=row["base_url"],
            headers=headers,
            timeout=self.call_timeout.total_seconds(),
            follow_redirects=False,
            trust_env=False,
        )
        return WahaChannel(client, row["session"], row["state"], call_timeout=self.call_timeout)
