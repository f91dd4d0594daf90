"""What the messenger knows: a bubble on its way, how fast to go, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Any, ClassVar
from uuid import UUID

from shared.kernel.events import DomainEvent
from shared.kernel.ids import ChannelId, ConversationId, SendId, TenantId


class SendState(StrEnum):
    """``pending → sending → sent | failed | unknown``; ``cancelled`` before any call."""

    PENDING = "pending"
    SENDING = "sending"
    UNKNOWN = "unknown"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A bubble as it stands in the database at one moment."""

    tenant_id: TenantId
    id: SendId
    channel_id: ChannelId
    channel_kind: str
    conversation_id: ConversationId
    chat: str
    """The customer's address on this channel."""
    kind: str
    body: str
    media: Mapping[str, Any] | None
    """``{"type": "image", "url" | "data", "mimetype", "filename"?}``, ``{"type": "location",
    "latitude", "longitude", "title"?}``, or ``None``: text alone."""
    reply_to: str | None
    state: SendState
    claim_no: int
    claimed_at: datetime | None
    since_claim: timedelta
    """By the database's clock; zero when it was never claimed."""
    reserved_id: str | None
    echoed_id: str | None
    resent: bool
    age: timedelta
    doomed: bool
    """A claim would refuse it: no need to let the customer see us typing."""
    unread: tuple[str, ...]
    """Native ids of the customer's last messages, newest first."""

    @property
    def repeatable(self) -> bool:
        """Notices are repeated once when nobody knows whether they left; text of people and of the
        AI is left to people."""
        return self.kind == "notice" and not self.resent


class ClaimOutcome(StrEnum):
    """What ``claim_send`` answers; besides, the state of a bubble that is pending no more."""

    CLAIMED = "claimed"
    BLOCKED = "blocked"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to a claim. ``number`` names the claim in everything that follows from it."""

    outcome: str
    number: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a person would type, and how fast a number may speak."""

    between_messages: timedelta
    typing_per_character: timedelta
    typing_at_most: timedelta

    def gap(self, random: Random) -> timedelta:
        """Time until the number's next message: never less than set, up to half as much more."""
        return self.between_messages * random.uniform(1.0, 1.5)

    def typing(self, text: str, random: Random) -> timedelta:
        """How long to be seen typing this."""
        wanted = self.typing_per_character * len(text) * random.uniform(0.8, 1.2)
        return min(wanted, self.typing_at_most)


@dataclass(frozen=True, slots=True)
class Windows:
    """How long a claim, a call and an unclear outcome last. They hang together: when the wait for
    an unclear call ends, counted from its claim, no call of that claim may be running."""

    unknown: timedelta
    """How long an unclear call waits for its echo, counted from its claim."""
    call: timedelta
    """Longest call."""
    claim: timedelta
    """After this much of the process's own time a claim is not used any more."""

    @classmethod
    def of(cls, *, unknown: timedelta, call: timedelta) -> "Windows":
        """The windows for these wishes: a call of at most 30 s, a claim good for at most 5 s."""
        return cls(
            unknown=unknown,
            call=min(call, timedelta(seconds=30), unknown / 2),
            claim=min(timedelta(seconds=5), unknown / 4),
        )


def hold(age: timedelta, random: Random) -> timedelta:
    """When to try again what certainly did not leave: the longer it waits, the seldomer."""
    wanted = min(max(age / 2, timedelta(seconds=5)), timedelta(seconds=60))
    return wanted * random.uniform(0.8, 1.2)


@dataclass(frozen=True, kw_only=True, slots=True)
class SendEvent(DomainEvent):
    """Something became of a bubble."""

    send_id: UUID
    conversation_id: UUID
    channel_id: UUID
    kind: str
    error_code: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SendSent(SendEvent):
    name: ClassVar[str] = "send.sent"


@dataclass(frozen=True, kw_only=True, slots=True)
class SendFailed(SendEvent):
    name: ClassVar[str] = "send.failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class SendUnclear(SendEvent):
    name: ClassVar[str] = "send.unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class SendCancelled(SendEvent):
    name: ClassVar[str] = "send.cancelled"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelStateChanged(DomainEvent):
    """A number lost its connection, or has it again; the commerce agent tells it the same way when
    WAHA says so first."""

    name: ClassVar[str] = "channel.state_changed"

    channel_id: UUID
    state: str


EVENTS: Mapping[SendState, type[SendEvent]] = {
    SendState.SENT: SendSent,
    SendState.FAILED: SendFailed,
    SendState.UNKNOWN: SendUnclear,
    SendState.CANCELLED: SendCancelled,
}
