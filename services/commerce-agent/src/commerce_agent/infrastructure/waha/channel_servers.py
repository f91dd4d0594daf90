"""WAHA as the commerce agent asks it: identities, history, state. Sending is the messenger's."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from commerce_agent.application.ports.channel_server import (
    ChannelServer,
    NoHistory,
    SessionState,
)
from commerce_agent.application.services.channel_secrets import ChannelSecrets
from commerce_agent.domain.entities.channel import Channel, ChannelKind
from commerce_agent.domain.entities.tenant import Tenant
from shared.security.crypto import KeyRing
from shared.security.outbound import open_client
from shared.waha.client import WahaClient
from shared.waha.errors import WahaRefused

_API_KEY_HEADER: Final = "X-Api-Key"


class WahaChannelServer:
    """Keeps the promises of `ChannelServer`."""

    def __init__(self, client: WahaClient) -> None:
        self._client = client

    async def state(self) -> SessionState:
        state = await self._client.status()
        return SessionState(status=state.status, phone=state.phone)

    async def address_of_lid(self, lid: str) -> str | None:
        try:
            return await self._client.phone_of_lid(lid)
        except WahaRefused:
            return None  # this engine keeps no such directory

    async def chats_since(self, since: datetime) -> Sequence[str]:
        try:
            return await self._client.chats(since)
        except WahaRefused as error:
            raise NoHistory from error

    async def messages_since(self, chat: str, since: datetime) -> Sequence[dict[str, Any]]:
        try:
            return await self._client.history(chat, since)
        except WahaRefused as error:
            raise NoHistory from error


@dataclass(frozen=True, slots=True)
class WahaChannelServers:
    """Keeps the promises of `ChannelServers`; connects only where operators allow it."""

    keys: KeyRing
    allow_hosts: Sequence[str]
    timeout: timedelta
    """For each wait; a whole answer may take three times as long."""

    @asynccontextmanager
    async def open(self, tenant: Tenant, channel: Channel) -> AsyncIterator[ChannelServer | None]:
        if channel.kind is not ChannelKind.WAHA or channel.base_url is None:
            yield None
            return
        api_key = ChannelSecrets.of(tenant, self.keys).api_key(channel)
        async with open_client(
            self.allow_hosts,
            timeout=self.timeout,
            base_url=channel.base_url,
            headers={_API_KEY_HEADER: api_key} if api_key else None,
        ) as client:
            asks = WahaClient(client, channel.session, longest_call=3 * self.timeout)
            yield WahaChannelServer(asks)
