"""The sessions behind a shop's numbers: how they are, and pairing them with a phone."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from commerce_agent.application.services.channel_secrets import ChannelSecrets
from commerce_agent.application.unit_of_work import UnitOfWorkFactory
from commerce_agent.domain.entities.channel import Channel, ChannelKind
from shared.kernel.errors import Conflict
from shared.kernel.ids import ChannelId, TenantId
from shared.security.crypto import KeyRing
from shared.waha.client import SessionState, WahaClient

OpenWaha = Callable[[Channel, str | None], AbstractAsyncContextManager[WahaClient]]
"""A client for a channel's server, given the channel and its key."""


class NothingToPair(Conflict):
    """A simulated number has no session."""

    code = "nothing_to_pair"


@dataclass(frozen=True, slots=True)
class WhatsAppSessions:
    """Asks WAHA itself. No transaction is open while it is asked.

    Every method raises ChannelNotFound, NothingToPair, and what `WahaClient` raises.
    """

    uow: UnitOfWorkFactory
    keys: KeyRing
    open_waha: OpenWaha

    async def status(self, tenant_id: TenantId, channel_id: ChannelId) -> SessionState:
        """How the session is at this moment."""
        async with await self._client(tenant_id, channel_id) as waha:
            return await waha.status()

    async def qr(self, tenant_id: TenantId, channel_id: ChannelId) -> bytes:
        """The code to scan with the phone, as PNG; it lives for about twenty seconds."""
        async with await self._client(tenant_id, channel_id) as waha:
            return await waha.qr()

    async def start(self, tenant_id: TenantId, channel_id: ChannelId) -> SessionState:
        """Start the session and say how it is; one that runs stays as it is."""
        async with await self._client(tenant_id, channel_id) as waha:
            await waha.start()
            return await waha.status()

    async def restart(self, tenant_id: TenantId, channel_id: ChannelId) -> SessionState:
        """Stop and start it; it keeps its login."""
        async with await self._client(tenant_id, channel_id) as waha:
            await waha.restart()
            return await waha.status()

    async def _client(
        self, tenant_id: TenantId, channel_id: ChannelId
    ) -> AbstractAsyncContextManager[WahaClient]:
        async with self.uow(tenant_id) as uow:
            channel = await uow.channels.get(channel_id)
            tenant = await uow.tenants.get(tenant_id)
        if channel.kind is not ChannelKind.WAHA:
            raise NothingToPair
        return self.open_waha(channel, ChannelSecrets.of(tenant, self.keys).api_key(channel))
