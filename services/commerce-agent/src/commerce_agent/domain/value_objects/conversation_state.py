"""Where a conversation stands, and who answers in it."""

from enum import StrEnum


class ConversationState(StrEnum):
    """How far the customer has come; moved by the effects of tools, never by the model's word."""

    GREETING = "greeting"
    BROWSING = "browsing"
    ORDERING = "ordering"
    CHECKOUT = "checkout"
    PAYMENT = "payment"
    COMPLETED = "completed"
    SUPPORT = "support"


class Owner(StrEnum):
    """Who answers. Every change raises the conversation's ``owner_epoch``."""

    AI = "ai"
    PERSON = "person"
    PAUSED = "paused"
    """Somebody typed on the phone: the AI waits, nobody has been assigned."""
