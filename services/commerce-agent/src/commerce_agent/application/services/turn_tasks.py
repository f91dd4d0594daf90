"""The one keyed row per conversation that makes the AI look at it."""

from datetime import datetime
from typing import Final

from shared.kernel.ids import ConversationId
from shared.messaging.port import Queue, Task

TURN_TASK: Final = "conversation.turn"


def turn_task(conversation_id: ConversationId, *, available_at: datetime | None = None) -> Task:
    """Look at this conversation, at once or at that time. Enqueued again it is the same row with a
    higher generation, so a worker that is just finishing finds it there."""
    return Task(
        queue=Queue.CRM_TASKS,
        kind=TURN_TASK,
        key=str(conversation_id),
        available_at=available_at,
    )
