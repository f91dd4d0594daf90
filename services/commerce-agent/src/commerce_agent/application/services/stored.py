"""What became of an event, as the store's services say it."""

from dataclasses import dataclass

from commerce_agent.application.ports.inbox import InboxState
from shared.kernel.ids import ConversationId


@dataclass(frozen=True, slots=True)
class Stored:
    """The end state of an inbox event, a stable code where there is more to say, and the
    conversation that looks otherwise now."""

    state: InboxState
    reason: str | None = None
    conversation_id: ConversationId | None = None


def kept(conversation_id: ConversationId | None = None, reason: str | None = None) -> Stored:
    return Stored(InboxState.STORED, reason, conversation_id)


def ignored(reason: str) -> Stored:
    return Stored(InboxState.IGNORED, reason)


def parked(reason: str) -> Stored:
    return Stored(InboxState.PARKED, reason)
