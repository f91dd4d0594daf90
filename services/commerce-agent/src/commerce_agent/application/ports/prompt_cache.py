"""The settled past of a conversation, remembered where losing it changes nothing."""

from dataclasses import dataclass
from typing import Protocol

from commerce_agent.application.ports.shop_agent import Said
from shared.kernel.ids import ConversationId, TenantId


@dataclass(frozen=True, slots=True)
class Remembered:
    """A history and the stamp of the moment it was read; another stamp makes it worthless."""

    stamp: str
    history: tuple[Said, ...]


class PromptCache(Protocol):
    """What the last turn read, for the next one. Never raises."""

    async def get(
        self, tenant_id: TenantId, conversation_id: ConversationId
    ) -> Remembered | None: ...

    async def put(
        self, tenant_id: TenantId, conversation_id: ConversationId, remembered: Remembered
    ) -> None: ...
