"""What WAHA tells us, in our words. `shared.waha.parsing.parse_event` makes these from bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.waha.addresses import ChatAddress


class ContentType(StrEnum):
    """What kind of thing was said."""

    TEXT = "text"
    IMAGE = "image"
    VOICE = "voice"
    VIDEO = "video"
    DOCUMENT = "document"
    LOCATION = "location"
    CONTACT = "contact"
    LIST_REPLY = "list_reply"
    STICKER = "sticker"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class WahaEvent:
    """Anything that came through the webhook."""

    session: str
    """The name of the WAHA session, by which the channel is found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageEvent(WahaEvent):
    """Somebody said something in a chat with one person."""

    native_id: str
    """The id's last segment: what all events about one message have in common."""
    chat: ChatAddress
    """The other person, also for an own message."""
    sender: str
    """Who wrote it: ``chat``, or the shop's own address."""
    from_me: bool
    source_is_api: bool
    """Sent through WAHA's API, so not typed on the phone. Only known of own messages."""
    text: str | None
    """Body or caption; never empty or blank."""
    content_type: ContentType
    content: Mapping[str, Any] = field(default_factory=dict)
    """``media {path, mimetype, filename, size}``, ``latitude longitude name address``,
    ``contacts [{name, phones}]``, ``row_id title``, ``quoted {id, text}``; plain JSON values."""
    reply_to: str | None = None
    """Native id of the quoted message."""
    sent_at: datetime | None = None
    """WhatsApp's time; ``None`` when nothing usable was given."""
    alternate: str | None = None
    """The same person's other address (``@lid`` or phone), where the engine names it."""
    push_name: str | None = None
    """What the sender calls themselves, one line of at most a hundred characters; never ours."""
    recovered_hint: bool = False
    """It came from a history, not as news: keep it, never answer it by itself."""

    @property
    def answerable(self) -> bool:
        """Whether there is anything to answer; an encryption stub has nothing."""
        return self.content_type is not ContentType.UNKNOWN or self.text is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class EditedEvent(WahaEvent):
    """A message has a new text."""

    native_id: str
    """The message that was edited, not the edit."""
    chat: ChatAddress
    from_me: bool
    text: str | None
    sent_at: datetime | None = None
    alternate: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RevokedEvent(WahaEvent):
    """A message was deleted for everyone."""

    native_id: str
    """The message that is gone."""
    chat: ChatAddress | None
    """``None``: the engine does not say where."""
    from_me: bool
    alternate: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReactionEvent(WahaEvent):
    """Somebody reacted to a message."""

    native_id: str
    """The reaction itself."""
    target_id: str
    """The message reacted to."""
    chat: ChatAddress
    from_me: bool
    emoji: str | None
    """``None``: the reaction was taken back."""
    sent_at: datetime | None = None
    alternate: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AckEvent(WahaEvent):
    """How far a message of ours has come; the highest level wins, whatever the order."""

    native_id: str
    chat: ChatAddress | None
    from_me: bool
    level: int
    """-1 error, 0 pending, 1 server, 2 device, 3 read, 4 played."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionStatusEvent(WahaEvent):
    """The session of a number changed: the state of its channel."""

    status: str
    """Lower case: ``working``, ``scan_qr_code``, ``starting``, ``stopped``, ``failed``…"""
    phone: str | None = None
    """The shop's own number in E.164, where it is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IgnoredEvent(WahaEvent):
    """Nothing follows from it."""

    reason: str
    """A stable code: ``group``, ``status``, ``newsletter``, ``broadcast``, ``own_chat``,
    ``unknown_address``, ``ack_unknown``, ``status_unknown``, ``target_unknown``, ``not_used``."""
    event: str
