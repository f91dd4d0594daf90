"""Why this reply? One bubble leads to the turn that wrote it."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from commerce_agent.application.queries.conversation_queries import (
    ConversationQueries,
    ReplyNotFound,
    TurnRow,
)
from commerce_agent.domain.value_objects.ids import ReplyId
from shared.kernel.ids import ConversationId, TenantId


class Replies(Protocol):
    async def find(
        self, tenant_id: TenantId, conversation_id: ConversationId, bubble: UUID
    ) -> ReplyId | None: ...


@dataclass(frozen=True, slots=True)
class Explanations:
    replies: Replies
    conversations: ConversationQueries

    async def why(
        self, tenant_id: TenantId, conversation_id: ConversationId, bubble: UUID
    ) -> TurnRow:
        """The turn behind an AI bubble, with its journal.

        Raises:
            ReplyNotFound: no turn wrote it, or it is not of this conversation.
        """
        reply = await self.replies.find(tenant_id, conversation_id, bubble)
        if reply is None:
            raise ReplyNotFound
        return await self.conversations.why(tenant_id, reply)
