"""Channels in SQL."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.domain.entities.channel import (
    Channel,
    ChannelKind,
    ChannelNameTaken,
    ChannelNotFound,
    ChannelState,
)
from commerce_agent.domain.value_objects.phone import Phone
from commerce_agent.infrastructure.persistence.kept import Kept, Row, violated, write_changes
from shared.kernel.events import DomainEvent
from shared.kernel.ids import ChannelId, TenantId
from shared.persistence.tables import channels


class SqlChannelRepository:
    """The channels of one tenant, inside its transaction."""

    def __init__(self, connection: AsyncConnection, tenant_id: TenantId) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self._kept: Kept[Channel] = Kept(_to_row)

    async def get(self, channel_id: ChannelId) -> Channel:
        channel = await self.find(channel_id)
        if channel is None:
            raise ChannelNotFound
        return channel

    async def find(self, channel_id: ChannelId) -> Channel | None:
        known = self._kept.find(channel_id)
        if known is not None:
            return known
        query = select(channels).where(
            channels.c.tenant_id == self._tenant_id, channels.c.id == channel_id
        )
        row = (await self._connection.execute(query)).mappings().one_or_none()
        return None if row is None else self._kept.load(_to_channel(row))

    async def all(self) -> Sequence[Channel]:
        query = (
            select(channels).where(channels.c.tenant_id == self._tenant_id).order_by(channels.c.id)
        )
        rows = (await self._connection.execute(query)).mappings()
        return [self._kept.load(_to_channel(row)) for row in rows]

    def add(self, channel: Channel) -> None:
        self._kept.add(channel)

    async def flush(self) -> list[DomainEvent]:
        try:
            for channel in self._kept.new():
                await self._connection.execute(
                    insert(channels).values(
                        tenant_id=self._tenant_id,
                        id=channel.id,
                        version=channel.version,
                        **_to_row(channel),
                    )
                )
            for channel, changes, _ in self._kept.changed():
                await write_changes(
                    self._connection,
                    channels,
                    tenant_id=self._tenant_id,
                    aggregate=channel,
                    changes=changes,
                )
        except IntegrityError as error:
            if violated(error) == "uq_channels_tenant_id_name":
                raise ChannelNameTaken from error
            raise
        return self._kept.settle()


def _to_row(channel: Channel) -> Row:
    return {
        "kind": channel.kind.value,
        "name": channel.name,
        "session": channel.session,
        "base_url": channel.base_url,
        "api_key_ciphertext": channel.api_key_ciphertext,
        "webhook_secret_ciphertext": channel.webhook_secret_ciphertext,
        "previous_webhook_secret_ciphertext": channel.previous_webhook_secret_ciphertext,
        "state": channel.state.value,
        "phone": channel.phone,
        "active": channel.active,
    }


def _to_channel(row: Mapping[Any, Any]) -> Channel:
    previous = row["previous_webhook_secret_ciphertext"]
    api_key = row["api_key_ciphertext"]
    return Channel(
        id=ChannelId(row["id"]),
        tenant_id=TenantId(row["tenant_id"]),
        kind=ChannelKind(row["kind"]),
        name=row["name"],
        session=row["session"],
        base_url=row["base_url"],
        api_key_ciphertext=None if api_key is None else bytes(api_key),
        webhook_secret_ciphertext=bytes(row["webhook_secret_ciphertext"]),
        previous_webhook_secret_ciphertext=None if previous is None else bytes(previous),
        state=ChannelState(row["state"]),
        phone=None if row["phone"] is None else Phone(row["phone"]),
        active=row["active"],
        version=row["version"],
    )
