"""Sending from outside the inbox: a system of the shop tells a customer something."""

from collections.abc import Sequence
from dataclasses import dataclass

from commerce_agent.application.queries.channel_queries import ChannelQueries
from commerce_agent.application.services.conversation_service import ConversationService
from shared.kernel.errors import Invalid
from shared.kernel.ids import ChannelId, ConversationId, SendId, TenantId


class ChannelNeeded(Invalid):
    """Say which channel sends: the shop has none that is active, or several."""

    code = "channel_needed"


@dataclass(frozen=True, slots=True)
class WhatsAppSending:
    """Notices: who answers in the conversation stays who it was."""

    conversations: ConversationService
    channels: ChannelQueries

    async def to_phone(
        self, tenant_id: TenantId, phone: str, text: str, *, via: ChannelId | None, actor: str
    ) -> tuple[ConversationId, Sequence[SendId]]:
        """Send to a number; customer and conversation are made if there are none.

        Raises:
            ChannelNeeded: no channel is named and not exactly one is active.
            WantsNoMessages: the customer has opted out.
            ChannelNotFound, BadPhone, NothingToSend: as they say.
        """
        channel = via or await self._only_channel(tenant_id)
        conversation = await self.conversations.open(tenant_id, channel, phone=phone)
        return await self.to_conversation(tenant_id, conversation.id, text, actor=actor)

    async def to_conversation(
        self, tenant_id: TenantId, conversation_id: ConversationId, text: str, *, actor: str
    ) -> tuple[ConversationId, Sequence[SendId]]:
        """Send into a conversation. Raises ConversationNotFound, WantsNoMessages, NothingToSend."""
        sent = await self.conversations.send_notice(tenant_id, conversation_id, text, actor=actor)
        return conversation_id, sent

    async def _only_channel(self, tenant_id: TenantId) -> ChannelId:
        page = await self.channels.list(tenant_id, limit=200)
        active = [channel.id for channel in page.data if channel.active]
        if len(active) != 1:
            raise ChannelNeeded(active=len(active))
        return active[0]
