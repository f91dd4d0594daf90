"""Connecting a shop's WhatsApp numbers, and its simulated one."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from commerce_agent.application.services.channel_secrets import (
    API_KEY,
    PREVIOUS_WEBHOOK_SECRET,
    WEBHOOK_SECRET,
    ChannelSecrets,
)
from commerce_agent.application.unit_of_work import UnitOfWorkFactory
from commerce_agent.domain.entities.channel import Channel, ChannelKind
from commerce_agent.domain.services.optimistic_lock import expect_version
from commerce_agent.domain.value_objects.text import BadText
from shared.kernel.clock import Clock
from shared.kernel.ids import ChannelId, TenantId, new_id
from shared.security.crypto import KeyRing


def new_webhook_secret() -> str:
    """256 bits that an operator can copy into WAHA's configuration."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class ChannelService:
    """Secrets come in and go out as text here and are stored sealed."""

    uow: UnitOfWorkFactory
    keys: KeyRing
    now: Clock
    new_secret: Callable[[], str] = new_webhook_secret

    async def create(
        self,
        tenant_id: TenantId,
        *,
        kind: ChannelKind,
        name: str,
        session: str,
        base_url: str | None = None,
        api_key: str | None = None,
    ) -> tuple[Channel, str]:
        """Connect a number.

        Returns:
            The channel, and the secret that its webhooks must be signed with; shown this once.

        Raises:
            BadChannel, BadText: the settings do not make a channel.
            ChannelNameTaken: the shop has a channel of this name.
        """
        channel_id = ChannelId(new_id())
        secret = self.new_secret()
        async with self.uow(tenant_id) as uow:
            sealed = ChannelSecrets.of(await uow.tenants.get(tenant_id), self.keys)
            channel = Channel.create(
                channel_id=channel_id,
                tenant_id=tenant_id,
                kind=kind,
                name=name,
                session=session,
                base_url=base_url,
                webhook_secret_ciphertext=sealed.seal(
                    secret, column=WEBHOOK_SECRET, channel_id=channel_id
                ),
                api_key_ciphertext=_sealed_key(sealed, api_key, channel_id),
                at=self.now(),
            )
            uow.channels.add(channel)
            await uow.commit()
        return channel, secret

    async def get(self, tenant_id: TenantId, channel_id: ChannelId) -> Channel:
        """Raises `ChannelNotFound`."""
        async with self.uow(tenant_id) as uow:
            return await uow.channels.get(channel_id)

    async def list(self, tenant_id: TenantId) -> tuple[Channel, ...]:
        """Every channel of the shop, oldest first."""
        async with self.uow(tenant_id) as uow:
            return tuple(await uow.channels.all())

    async def update(
        self,
        tenant_id: TenantId,
        channel_id: ChannelId,
        *,
        name: str | None = None,
        session: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        active: bool | None = None,
        expected_version: int | None = None,
    ) -> Channel:
        """Change what is given; ``None`` leaves a field as it is.

        Raises:
            ChannelNotFound, ChannelNameTaken, BadChannel, BadText, ChangedMeanwhile: as they say.
        """
        async with self.uow(tenant_id) as uow:
            channel = await uow.channels.get(channel_id)
            expect_version(channel.version, expected_version)
            sealed = ChannelSecrets.of(await uow.tenants.get(tenant_id), self.keys)
            channel.update(
                at=self.now(),
                name=name,
                session=session,
                base_url=base_url,
                api_key_ciphertext=_sealed_key(sealed, api_key, channel_id),
                active=active,
            )
            await uow.commit()
        return channel

    async def rotate_secret(self, tenant_id: TenantId, channel_id: ChannelId) -> str:
        """Make a new webhook secret; the present one is accepted beside it until `end_rotation`.

        Returns:
            The new secret, shown this once.
        """
        secret = self.new_secret()
        async with self.uow(tenant_id) as uow:
            channel = await uow.channels.get(channel_id)
            sealed = ChannelSecrets.of(await uow.tenants.get(tenant_id), self.keys)
            channel.rotate_secret(
                new=sealed.seal(secret, column=WEBHOOK_SECRET, channel_id=channel_id),
                previous=sealed.seal(
                    sealed.webhook_secret(channel),
                    column=PREVIOUS_WEBHOOK_SECRET,
                    channel_id=channel_id,
                ),
                at=self.now(),
            )
            await uow.commit()
        return secret

    async def end_rotation(self, tenant_id: TenantId, channel_id: ChannelId) -> Channel:
        """Refuse the secret before the present one."""
        async with self.uow(tenant_id) as uow:
            channel = await uow.channels.get(channel_id)
            channel.end_rotation()
            await uow.commit()
        return channel

    async def api_key(self, tenant_id: TenantId, channel_id: ChannelId) -> str | None:
        """What the channel's server asks for. Raises `ChannelNotFound`."""
        async with self.uow(tenant_id) as uow:
            tenant = await uow.tenants.get(tenant_id)
            channel = await uow.channels.get(channel_id)
        return ChannelSecrets.of(tenant, self.keys).api_key(channel)

    async def webhook_secret(self, tenant_id: TenantId, channel_id: ChannelId) -> str:
        """The present secret, for the simulator and the operator's command line."""
        async with self.uow(tenant_id) as uow:
            tenant = await uow.tenants.get(tenant_id)
            channel = await uow.channels.get(channel_id)
        return ChannelSecrets.of(tenant, self.keys).webhook_secret(channel)


def _sealed_key(sealed: ChannelSecrets, key: str | None, channel_id: ChannelId) -> bytes | None:
    if key is None:
        return None
    # it becomes an HTTP header: nothing but printable ASCII can be meant
    if not 1 <= len(key) <= 500 or not key.isascii() or not key.isprintable():
        raise BadText("api_key is 1 to 500 printable characters", field="api_key")
    return sealed.seal(key, column=API_KEY, channel_id=channel_id)
