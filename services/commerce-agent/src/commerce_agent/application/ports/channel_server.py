"""The server behind a channel, as far as the commerce agent asks it: never inside a transaction."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from commerce_agent.domain.entities.channel import Channel
from commerce_agent.domain.entities.tenant import Tenant
from shared.kernel.errors import Invalid


class NoHistory(Invalid):
    """The engine of this channel keeps no history, so gaps cannot be repaired."""

    code = "gap_repair_unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionState:
    """What the server says of the session."""

    status: str
    phone: str | None = None


class ChannelServer(Protocol):
    """One channel's session. Every method may raise ``Unavailable``."""

    async def state(self) -> SessionState: ...

    async def address_of_lid(self, lid: str) -> str | None:
        """The phone address behind a hidden one; ``None``: WhatsApp does not tell."""
        ...

    async def chats_since(self, since: datetime) -> Sequence[str]:
        """Chats with one person in which something happened. Raises `NoHistory`."""
        ...

    async def messages_since(self, chat: str, since: datetime) -> Sequence[dict[str, Any]]:
        """WAHA's own message payloads, oldest first. Raises `NoHistory`."""
        ...


class ChannelServers(Protocol):
    """Opens the server of a channel."""

    def open(
        self, tenant: Tenant, channel: Channel
    ) -> AbstractAsyncContextManager[ChannelServer | None]:
        """``None``: a simulated channel has no server to ask."""
        ...
