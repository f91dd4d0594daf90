"""Everything that a turn needs to know of a conversation, read together at one moment."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from commerce_agent.application.ports.message_store import Waiting
from commerce_agent.application.ports.shop_agent import CustomerCard, Handle, Said
from commerce_agent.application.ports.turn_store import OpenTurn
from commerce_agent.domain.entities.conversation import Conversation
from commerce_agent.domain.entities.tenant import Tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A conversation as a turn finds it."""

    now: datetime
    """By the database's clock."""
    tenant: Tenant
    customer: CustomerCard
    open_turn: OpenTurn | None
    waiting: tuple[Waiting, ...]
    """What nobody has answered, in the order of (WhatsApp's time, inbox sequence)."""
    stamp: str
    """Differs whenever the history would read otherwise."""
    history: tuple[Said, ...] | None
    """The last things said, oldest first: nothing that waits for an answer, was revoked, or did
    not leave. ``None``: it reads as it did at the stamp that the caller knows."""
    handles: tuple[Handle, ...]
    """What was shown in this conversation, oldest first."""
    recent_replies: int
    """Replies of the AI that were committed in the time in which they are counted."""
    recent_turns: int
    """Turns that this customer had within an hour, over all channels."""


class Scenes(Protocol):
    """Reads scenes of one tenant. Callers hold the conversation's lock."""

    async def read(
        self, conversation: Conversation, *, known_stamp: str | None, history: int
    ) -> Scene:
        """``history``: so many of the last things said."""
        ...
