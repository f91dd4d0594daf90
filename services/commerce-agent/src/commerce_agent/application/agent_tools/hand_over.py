"""Giving the conversation to a person."""

from dataclasses import dataclass

from commerce_agent.application.agent_tools.context import AgentContext, ToolOutcome
from commerce_agent.application.services.conversation_service import ConversationService


@dataclass(frozen=True, slots=True)
class HandOverTools:
    conversations: ConversationService

    async def hand_over_to_human(
        self, context: AgentContext, *, reason: str, summary: str
    ) -> ToolOutcome:
        """The customer is told and staff own the conversation when this returns.

        Raises:
            Fenced: the conversation is another worker's.
        """
        result = await self.conversations.hand_over(
            context.tenant_id,
            context.conversation_id,
            reason=reason,
            summary=summary,
            effect=context.effect(),
        )
        return ToolOutcome(result=result, committed=True)
