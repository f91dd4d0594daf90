"""The inbox as the store reads it: raw events, each settled once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from shared.kernel.ids import ChannelId, InboxId

ORIGIN_HEADER: Final = "x-origin"
GAP_REPAIR: Final = "gap-repair"
"""Marks an event that we read from the channel's history, not one that was delivered."""


class InboxState(StrEnum):
    """What became of an event."""

    STORED = "stored"
    IGNORED = "ignored"
    PARKED = "parked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One event as it came."""

    id: InboxId
    sequence: int
    """Orders events that WhatsApp gave the same second."""
    endpoint_id: ChannelId
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    received_at: datetime
    is_settled: bool
    """It was stored, ignored or parked before."""

    @property
    def from_gap_repair(self) -> bool:
        return self.headers.get(ORIGIN_HEADER) == GAP_REPAIR


class Inbox(Protocol):
    """Events of one tenant."""

    async def find(self, inbox_id: InboxId) -> Arrival | None: ...

    async def settle(self, inbox_id: InboxId, state: InboxState, reason: str | None = None) -> bool:
        """Say what became of it, once; ``False``: somebody did before."""
        ...

    async def put(self, endpoint_id: ChannelId, body: bytes) -> bool:
        """Put in an event from a channel's history, with its work; ``False``: it is there."""
        ...
