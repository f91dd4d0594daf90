"""What was said of a message before the message itself arrived."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, Protocol, TypeAlias

from shared.kernel.ids import ChannelId

EarlyKind: TypeAlias = Literal["revoked", "edited", "ack", "reaction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyEvent:
    """Something about a message that has not arrived yet."""

    kind: EarlyKind
    body: Mapping[str, Any]
    chat: str = ""
    """Whose chat it came from, for ids are chosen by senders; empty: nobody says."""


class EarlyEvents(Protocol):
    """Events of one tenant that wait for their message."""

    async def alone(self, channel_id: ChannelId, native_id: str) -> None:
        """Wait for whoever takes this id's events in a transaction of its own, and keep others
        from taking them until ours ends."""
        ...

    async def keep(self, channel_id: ChannelId, native_id: str, event: EarlyEvent) -> None:
        """Keep an event until its message arrives; of one kind and chat the last, of acks the
        highest."""
        ...

    async def take(self, channel_id: ChannelId, native_id: str) -> list[EarlyEvent]:
        """Hand over and forget what came before this message; nobody else is `alone` meanwhile."""
        ...

    async def forget(self, channel_id: ChannelId, *, older_than: timedelta) -> None:
        """Drop events whose message never came."""
        ...
