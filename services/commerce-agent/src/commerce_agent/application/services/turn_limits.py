"""How long a turn may take, and when a person should answer instead."""

from dataclasses import dataclass
from datetime import timedelta

from commerce_agent.application.ports.turn_scene import Scene
from commerce_agent.domain.entities.conversation import Conversation, HandOver
from commerce_agent.domain.services.turn_rules import REPLIES_IN_A_ROW, TOO_OLD


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnLimits:
    """How long a turn may take and how many a customer may have."""

    lease: timedelta = timedelta(seconds=30)
    deadline: timedelta = timedelta(seconds=90)
    turns_per_hour: int = 60

    def refusal(self, conversation: Conversation, scene: Scene) -> HandOver | None:
        """Why a person should answer this instead of the AI."""
        since = conversation.first_unanswered_at
        if since is not None and scene.now - since > TOO_OLD:
            return HandOver(
                reason=conversation.trouble or "too_old",
                summary="The customer has been waiting for more than two hours.",
            )
        if scene.recent_replies >= REPLIES_IN_A_ROW:
            return HandOver(
                reason="too_many_replies",
                summary="Many replies in a few minutes: perhaps a machine is writing.",
            )
        if scene.open_turn is not None or scene.recent_turns < self.turns_per_hour:
            return None
        return HandOver(
            reason="too_many_turns",
            summary=f"This customer has used up {self.turns_per_hour} answers within an hour.",
        )
