"""The sessions behind a shop's numbers: how they are, and pairing them with a phone."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from commerce_agent.application.services.channel_secrets import ChannelSecrets
from commerce_agent.application.unit_of_work import UnitOfWorkFactory
from commerce_agent.domain.entities.channel import Channel, ChannelKind
from gateway.application.addresses import PublicAddresses
from shared.kernel.errors import Conflict
from shared.kernel.ids import ChannelId, TenantId
from shared.security.crypto import KeyRing
from shared.waha.client import SessionState, WahaClient
from shared.waha.errors import WahaRefused
from shared.waha.session_config import WebhookTarget, completed, new_config

OpenWaha = Callable[[Channel, str | None], AbstractAsyncContextManager[WahaClient]]
"""A client for a channel's server, given the channel and its key."""


class NothingToPair(Conflict):
    """A simulated number has no session."""

    code = "nothing_to_pair"


@dataclass(frozen=True, slots=True)
class _Number:
    channel: Channel
    api_key: str | None = field(repr=False)
    target: WebhookTarget


@dataclass(frozen=True, slots=True)
class WhatsAppSessions:
    """Asks WAHA itself. No transaction is open while it is asked.

    Every method raises ChannelNotFound, NothingToPair, and what `WahaClient` raises.
    """

    uow: UnitOfWorkFactory
    keys: KeyRing
    open_waha: OpenWaha
    addresses: PublicAddresses

    async def status(self, tenant_id: TenantId, channel_id: ChannelId) -> SessionState:
        """How the session is at this moment."""
        number = await self._number(tenant_id, channel_id)
        async with self._waha(number) as waha:
            return await waha.status()

    async def qr(self, tenant_id: TenantId, channel_id: ChannelId) -> bytes:
        """The code to scan with the phone, as PNG; it lives for about twenty seconds."""
        number = await self._number(tenant_id, channel_id)
        async with self._waha(number) as waha:
            return await waha.qr()

    async def start(self, tenant_id: TenantId, channel_id: ChannelId) -> SessionState:
        """Make the session send its events to the channel, start it, and say how it is.

        What WAHA does not know is made. One that runs with our webhook stays as it is; one whose
        webhook is missing or signs with another secret is configured anew, which restarts it.
        """
        number = await self._number(tenant_id, channel_id)
        async with self._waha(number) as waha:
            await _configure(waha, number.target)
            await waha.start()
            return await waha.status()

    async def restart(self, tenant_id: TenantId, channel_id: ChannelId) -> SessionState:
        """Stop and start it; it keeps its login."""
        number = await self._number(tenant_id, channel_id)
        async with self._waha(number) as waha:
            await waha.restart()
            return await waha.status()

    async def _number(self, tenant_id: TenantId, channel_id: ChannelId) -> _Number:
        async with self.uow(tenant_id) as uow:
            channel = await uow.channels.get(channel_id)
            tenant = await uow.tenants.get(tenant_id)
        if channel.kind is not ChannelKind.WAHA:
            raise NothingToPair
        secrets = ChannelSecrets.of(tenant, self.keys)
        target = WebhookTarget(
            self.addresses.webhook(tenant_id, channel_id),
            SecretStr(secrets.webhook_secret(channel)),
        )
        return _Number(channel, secrets.api_key(channel), target)

    def _waha(self, number: _Number) -> AbstractAsyncContextManager[WahaClient]:
        return self.open_waha(number.channel, number.api_key)


async def _configure(waha: WahaClient, target: WebhookTarget) -> None:
    present = await waha.config()
    wanted = completed(await _create(waha, target) if present is None else present, target)
    if wanted is not None:
        await waha.replace_config(wanted)


async def _create(waha: WahaClient, target: WebhookTarget) -> Mapping[str, Any]:
    """The session's configuration afterwards: somebody else may make it at the same moment."""
    config = new_config(target)
    try:
        await waha.create(config)
    except WahaRefused:
        made = await waha.config()
        if made is None:
            raise
        return made
    return config
