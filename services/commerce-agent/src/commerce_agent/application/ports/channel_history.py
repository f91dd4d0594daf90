"""How far a channel's history has been read, and what of it is stored already."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from shared.kernel.ids import ChannelId


class GapRepair(StrEnum):
    """Whether missed messages of a channel can be found."""

    UNKNOWN = "unknown"
    OK = "ok"
    UNAVAILABLE = "unavailable"
    """The engine keeps no history."""


class ChannelHistory(Protocol):
    """What gap repair remembers of one tenant's channels."""

    async def watermark(self, channel_id: ChannelId) -> datetime | None:
        """Up to when nothing is missing; ``None``: never read."""
        ...

    async def move_watermark(self, channel_id: ChannelId, to: datetime) -> None:
        """It only moves forward."""
        ...

    async def set_gap_repair(self, channel_id: ChannelId, state: GapRepair) -> None: ...

    async def unknown_ids(self, channel_id: ChannelId, native_ids: Sequence[str]) -> set[str]:
        """Of these WhatsApp ids those that neither a message nor a send of ours has."""
        ...

    async def hidden_addresses(self, channel_id: ChannelId, *, limit: int) -> list[str]:
        """``@lid`` addresses of customers on this channel whose phone address is not known."""
        ...
