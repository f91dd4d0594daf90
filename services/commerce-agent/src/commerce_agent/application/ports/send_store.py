"""Bubbles that leave: committed here, sent by the messenger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Protocol

from commerce_agent.domain.entities.conversation import Conversation
from commerce_agent.domain.value_objects.ids import ReplyId, TurnId
from shared.kernel.ids import ChannelId, ConversationId, SendId


class SendKind(StrEnum):
    """Who speaks. AI text and holding lines are refused once the owner has changed."""

    AI = "ai"
    STAFF = "staff"
    NOTICE = "notice"
    HOLDING = "holding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubble:
    """One message to send: text, or a picture with a caption."""

    body: str = ""
    media: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoedSend:
    """The send that an own message turned out to be."""

    id: SendId
    conversation_id: ConversationId


class SendStore(Protocol):
    """Sends of one tenant. Callers hold the conversation's lock when they write."""

    async def add(
        self,
        conversation: Conversation,
        bubbles: Sequence[Bubble],
        *,
        kind: SendKind,
        reply_id: ReplyId,
        turn_id: TurnId | None = None,
        author: str | None = None,
        reply_to: str | None = None,
    ) -> list[SendId]:
        """Put bubbles at the end of the conversation's line, with the messenger's work."""
        ...

    async def withdraw(self, conversation_id: ConversationId, reply_id: ReplyId) -> bool:
        """Take an AI reply back of which nothing was claimed yet: its bubbles are cancelled, its
        messages wait again and its turn goes on. ``False``: too late, or no such reply."""
        ...

    async def find_conversation(
        self, channel_id: ChannelId, native_id: str
    ) -> ConversationId | None:
        """Where the send with this WhatsApp id belongs."""
        ...

    async def acknowledge(
        self, channel_id: ChannelId, native_id: str, ack: int
    ) -> list[EchoedSend]:
        """Note how far a bubble came; the highest wins. Empty: no send has this id (yet)."""
        ...

    async def echo(
        self, channel_id: ChannelId, native_id: str, *, call_window: timedelta
    ) -> EchoedSend | None:
        """Take an own message with an id that we reserved or were told as the echo of that send.

        It is kept as evidence. It ends a send whose outcome is unknown or awaits its repeat, but
        only when the last claim is older than ``call_window``: while a call may be running, that
        call's outcome decides.
        """
        ...

    async def echo_by_text(
        self,
        conversation_id: ConversationId,
        native_id: str,
        text: str,
        *,
        call_window: timedelta,
        memory: timedelta,
    ) -> EchoedSend | None:
        """The same for an own message with an unknown id, matched by its text to a send whose call
        is running or whose outcome is, or within ``memory`` was, unknown."""
        ...
