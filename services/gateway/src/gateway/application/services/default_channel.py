"""The WhatsApp number that the settings name: a channel of the default tenant."""

from dataclasses import dataclass

import structlog
from pydantic import SecretStr

from commerce_agent.application.queries.tenant_queries import TenantQueries
from commerce_agent.application.services.channel_service import ChannelService
from commerce_agent.domain.entities.channel import Channel, ChannelKind, ChannelNameTaken
from shared.kernel.ids import TenantId

log = structlog.get_logger()

NAME = "WhatsApp"
SESSION = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultChannel:
    """Seeds one tenant; the settings are nobody else's fallback."""

    tenants: TenantQueries
    channels: ChannelService
    tenant: str
    """Slug of the tenant that gets it."""
    server: str
    api_key: SecretStr | None

    async def ensure(self) -> None:
        """Make the channel if the tenant has none on this server, else take a changed key over.

        Any number of gateways may do this at once: a channel's name is unique in its shop.

        Raises:
            TenantNotFound: there is no such tenant (yet).
            ChannelNameTaken: its name belongs to a channel on another server.
            Conflict: somebody changed the channel meanwhile.
            BadChannel, BadText: the settings do not make a channel.
        """
        tenant_id = (await self.tenants.named(self.tenant)).id
        present = await self._on_this_server(tenant_id)
        if not present:
            await self._create(tenant_id)
        for channel in present:
            if channel.session == SESSION:
                await self._renew_key(channel)

    async def _on_this_server(self, tenant_id: TenantId) -> list[Channel]:
        return [
            channel
            for channel in await self.channels.list(tenant_id)
            if channel.kind is ChannelKind.WAHA and channel.base_url == self.server
        ]

    async def _create(self, tenant_id: TenantId) -> None:
        try:
            channel, _ = await self.channels.create(
                tenant_id,
                kind=ChannelKind.WAHA,
                name=NAME,
                session=SESSION,
                base_url=self.server,
                api_key=self._key(),
            )
        except ChannelNameTaken:
            if not await self._on_this_server(tenant_id):
                raise
            return  # another gateway was faster
        log.info("default_channel_made", tenant_id=str(tenant_id), channel_id=str(channel.id))

    async def _renew_key(self, channel: Channel) -> None:
        key = self._key()
        if key is None or key == await self.channels.api_key(channel.tenant_id, channel.id):
            return
        await self.channels.update(channel.tenant_id, channel.id, api_key=key)
        log.info(
            "default_channel_key_renewed",
            tenant_id=str(channel.tenant_id),
            channel_id=str(channel.id),
        )

    def _key(self) -> str | None:
        return self.api_key.get_secret_value() if self.api_key else None
