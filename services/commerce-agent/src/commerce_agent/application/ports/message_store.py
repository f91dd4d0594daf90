"""Messages as the store keeps them: what customers wrote and what staff typed on the phone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal, Protocol

from commerce_agent.domain.value_objects.ids import CustomerId, MessageId, ReplyId
from shared.kernel.ids import ChannelId, ConversationId, InboxId

THROUGH_API: Final = "through_api"
"""Mark in the content of an own message that a program sent, not a person with the phone."""


class AnsweredHow(StrEnum):
    """How a customer's message came to rest."""

    AI = "ai"
    PERSON = "person"
    HANDED_OVER = "handed_over"
    REVOKED = "revoked"
    RECOVERED = "recovered"
    REFUSED = "refused"
    NOTHING_TO_ANSWER = "nothing_to_answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message to be stored. (channel, direction, kind, native id) is its identity."""

    id: MessageId
    channel_id: ChannelId
    conversation_id: ConversationId
    direction: Literal["in", "out"]
    native_id: str
    sender: str
    content_type: str
    sent_at: datetime
    kind: Literal["message", "reaction"] = "message"
    seq: int | None = None
    body: str | None = None
    content: Mapping[str, Any] = field(default_factory=dict)
    reply_to: str | None = None
    inbox_id: InboxId | None = None
    inbox_sequence: int | None = None
    recovered: bool = False
    answered_how: AnsweredHow | None = None
    answered_by: ReplyId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """A message that is already there."""

    id: MessageId
    conversation_id: ConversationId
    customer_id: CustomerId
    direction: str
    content_type: str
    original: str | None
    """Its text as it came first, whatever was edited since."""
    body: str | None
    is_revoked: bool
    answered_how: AnsweredHow | None
    answered_by: ReplyId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A customer's message as the AI reads it."""

    id: MessageId
    content_type: str
    body: str | None
    content: Mapping[str, Any]
    reply_to: str | None
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Answered:
    """What a reply of the AI leaves."""

    count: int
    """Messages that it answers."""
    oldest_waiting: datetime | None
    """When the oldest of those arrived that still wait."""


class MessageStore(Protocol):
    """Messages of one tenant. Callers hold the conversation's lock when they write."""

    async def find(
        self, channel_id: ChannelId, native_id: str, *, direction: str | None = None
    ) -> StoredMessage | None:
        """The message (not reaction) with this WhatsApp id."""
        ...

    async def add(self, message: NewMessage) -> bool:
        """Insert first; ``False``: its identity is there already and nothing was stored."""
        ...

    async def keep_anomaly(
        self, *, channel_id: ChannelId, message_id: MessageId, inbox_id: InboxId, reason: str
    ) -> None:
        """The same id came with another sender or other content: keep that for people to see."""
        ...

    async def present(self, ids: Sequence[MessageId]) -> Mapping[MessageId, Waiting]:
        """Of these messages those that were not revoked, as they read now."""
        ...

    async def settle(
        self,
        conversation_id: ConversationId,
        how: AnsweredHow,
        *,
        by: ReplyId | None = None,
        until: datetime | None = None,
        with_unclaimed: bool = False,
    ) -> int:
        """Mark waiting messages answered: all, or all sent ``until`` then.

        ``with_unclaimed`` takes also those whose AI reply has not begun to leave: the new owner's
        epoch will refuse it, and they must not wait again then. Returns how many were marked.
        """
        ...

    async def answer(
        self, conversation_id: ConversationId, ids: Sequence[MessageId], *, by: ReplyId
    ) -> Answered:
        """Mark those of ``ids`` that still wait as answered by the AI."""
        ...

    async def typed_since(
        self, conversation_id: ConversationId, sent_at: datetime
    ) -> MessageId | None:
        """What somebody typed on the phone after that moment: they saw all that was before."""
        ...

    async def first_waiting_since(self, conversation_id: ConversationId) -> datetime | None:
        """When the oldest waiting message arrived."""
        ...

    async def edit(self, message_id: MessageId, body: str | None, *, at: datetime) -> None: ...

    async def revoke(self, message_id: MessageId, *, at: datetime) -> None:
        """Mark it; if it was waiting, it waits no longer."""
        ...

    async def set_ack(self, channel_id: ChannelId, native_id: str, ack: int) -> bool:
        """Note how far a message typed on the phone came; ``False``: there is none."""
        ...
