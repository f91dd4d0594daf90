"""Telling open screens that a conversation changed; they read again what they show."""

from typing import Protocol

from shared.kernel.ids import ConversationId, TenantId


class Announcements(Protocol):
    """Wake-ups after a commit. Losing one costs a poll, so none raises."""

    async def conversation_changed(
        self, tenant_id: TenantId, conversation_id: ConversationId
    ) -> None: ...
