"""What happens to shops and to their channels."""

from dataclasses import dataclass
from typing import ClassVar

from shared.kernel.events import DomainEvent
from shared.kernel.ids import ChannelId


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantCreated(DomainEvent):
    name: ClassVar[str] = "tenant.created"

    slug: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantUpdated(DomainEvent):
    name: ClassVar[str] = "tenant.updated"

    fields: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantSuspended(DomainEvent):
    name: ClassVar[str] = "tenant.suspended"


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantResumed(DomainEvent):
    name: ClassVar[str] = "tenant.resumed"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelAdded(DomainEvent):
    name: ClassVar[str] = "channel.added"

    channel_id: ChannelId
    kind: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelUpdated(DomainEvent):
    name: ClassVar[str] = "channel.updated"

    channel_id: ChannelId
    fields: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelSecretRotated(DomainEvent):
    name: ClassVar[str] = "channel.secret_rotated"

    channel_id: ChannelId


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelStateChanged(DomainEvent):
    name: ClassVar[str] = "channel.state_changed"

    channel_id: ChannelId
    state: str
