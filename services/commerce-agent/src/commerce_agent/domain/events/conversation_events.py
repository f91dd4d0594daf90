"""What happens in a conversation, for streams, the console and integrators."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from shared.kernel.events import DomainEvent
from shared.kernel.ids import ConversationId


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationEvent(DomainEvent):
    """Something that happened in one conversation."""

    conversation_id: ConversationId


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageReceived(ConversationEvent):
    """A customer wrote, or staff typed on the phone (``direction`` ``out``)."""

    name: ClassVar[str] = "conversation.message_received"

    message_id: UUID
    direction: str
    recovered: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageChanged(ConversationEvent):
    """A message was edited or revoked, or somebody reacted to it (``change`` says which)."""

    name: ClassVar[str] = "conversation.message_changed"

    change: str
    native_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationReplied(ConversationEvent):
    """The AI's reply was committed; its bubbles are on their way."""

    name: ClassVar[str] = "conversation.replied"

    turn_id: UUID
    reply_id: UUID
    bubbles: int
    lease_epoch: int
    """Of the worker that committed it."""
    fence: int
    """The conversation's own at that moment: the audit compares the two."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StaffReplied(ConversationEvent):
    """A person answered through the platform."""

    name: ClassVar[str] = "conversation.staff_replied"

    reply_id: UUID
    actor: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationTakenOver(ConversationEvent):
    """A person answers from here on."""

    name: ClassVar[str] = "conversation.taken_over"

    actor: str
    owner_epoch: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationPaused(ConversationEvent):
    """Somebody typed on the phone: the AI waits."""

    name: ClassVar[str] = "conversation.paused"

    owner_epoch: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationReturned(ConversationEvent):
    """The AI answers again."""

    name: ClassVar[str] = "conversation.returned"

    actor: str
    owner_epoch: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationHandedOver(ConversationEvent):
    """The platform asked staff to go on; the customer was told."""

    name: ClassVar[str] = "conversation.handed_over"

    reason: str
    owner_epoch: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerDelayed(ConversationEvent):
    """No model can answer at the moment; ``cause`` is the code for staff."""

    name: ClassVar[str] = "conversation.answer_delayed"

    cause: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SendProgressed(ConversationEvent):
    """WhatsApp told how far a bubble of ours came, or that it exists."""

    name: ClassVar[str] = "conversation.send_progressed"

    send_id: UUID
    ack: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationsMerged(ConversationEvent):
    """Two addresses turned out to be one person: the other conversation's messages are here now."""

    name: ClassVar[str] = "conversation.merged"

    merged_id: UUID
