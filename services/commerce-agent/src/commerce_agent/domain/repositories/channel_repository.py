"""Where channels are kept."""

from collections.abc import Sequence
from typing import Protocol

from commerce_agent.domain.entities.channel import Channel
from shared.kernel.ids import ChannelId


class ChannelRepository(Protocol):
    """The channels of the unit of work's tenant."""

    async def get(self, channel_id: ChannelId) -> Channel:
        """Raises `ChannelNotFound`."""
        ...

    async def find(self, channel_id: ChannelId) -> Channel | None: ...

    async def all(self) -> Sequence[Channel]:
        """Every channel, oldest first; a shop has a handful."""
        ...

    def add(self, channel: Channel) -> None:
        """Keep a new channel. The commit raises `ChannelNameTaken`."""
        ...
