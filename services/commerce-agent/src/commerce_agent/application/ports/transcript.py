"""What was said in a conversation and is settled: the past that prompts are built on."""

from typing import Protocol

from commerce_agent.application.ports.shop_agent import Said
from shared.kernel.ids import ConversationId


class Transcript(Protocol):
    """Reads what customers, the AI and staff said."""

    async def recent(self, conversation_id: ConversationId, *, limit: int) -> tuple[Said, ...]:
        """The last things said, oldest first: nothing that waits for an answer, was revoked, or
        did not leave."""
        ...

    async def stamp(self, conversation_id: ConversationId) -> str:
        """Differs whenever `recent` would read otherwise."""
        ...
