"""WhatsApp over HTTP: sessions and sending."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, model_validator

from gateway.interface.schemas.common import Answer, RequestBody
from shared.kernel.ids import ChannelId, ConversationId, SendId

Text = Annotated[str, Field(min_length=1, max_length=4096)]


class SessionAnswer(Answer):
    """``status`` is WAHA's own word in lower case; ``missing``: WAHA knows no such session."""

    channel_id: ChannelId
    session: str
    status: str
    phone: str | None = None
    engine: str | None = None


class QrAnswer(Answer):
    mimetype: str = "image/png"
    data: str = Field(description="Base64.")


class SendBody(RequestBody):
    """Either a conversation that exists, or a phone number, which finds or opens one."""

    to: str | None = Field(default=None, max_length=40, examples=["+628123456789"])
    conversation_id: UUID | None = None
    channel_id: UUID | None = Field(
        default=None, description="With `to`; may be left out if there is one active channel."
    )
    text: Text

    @model_validator(mode="after")
    def _one_recipient(self) -> "SendBody":
        if (self.to is None) == (self.conversation_id is None):
            raise ValueError("give either to or conversation_id")
        return self


class SentAnswer(Answer):
    """Queued: each id is one bubble, sent in this order."""

    conversation_id: ConversationId
    send_ids: list[SendId]
    status: str = "queued"
