"""Conversations over HTTP."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from commerce_agent.domain.value_objects.ids import CustomerId
from gateway.interface.schemas.common import Answer, RequestBody
from gateway.interface.schemas.whatsapp import Text
from shared.kernel.ids import ChannelId, ConversationId


class ConversationAnswer(Answer):
    id: ConversationId
    channel_id: ChannelId
    customer_id: CustomerId
    customer_name: str | None
    customer_phone: str | None
    owner: str = Field(description="ai, person or paused: who answers.")
    owner_reason: str | None
    state: str
    trouble: str | None = Field(description="What keeps the AI from answering.")
    handover: Mapping[str, Any] | None
    unanswered: int
    first_unanswered_at: datetime | None
    last_message_at: datetime | None
    last_text: str | None
    version: int
    created_at: datetime


class StaffMessage(RequestBody):
    text: Text
    reply_to: str | None = Field(
        default=None, max_length=256, description="WhatsApp id of a message to quote."
    )


class MessageAnswer(Answer):
    id: UUID
    direction: str
    by: str = Field(description="customer, ai, staff, phone or platform.")
    kind: str
    content_type: str
    text: str | None
    content: Mapping[str, Any]
    state: str
    ack: int | None
    native_id: str | None
    reply_to: str | None
    reply_id: UUID | None
    author: str | None
    error_code: str | None
    recovered: bool
    at: datetime
    edited_at: datetime | None
    revoked_at: datetime | None


class StepAnswer(Answer):
    step: int
    call: int
    kind: str
    name: str | None
    body: Mapping[str, Any]
    result: str | None
    milliseconds: int | None
    at: datetime


class WhyAnswer(Answer):
    id: UUID
    conversation_id: ConversationId
    state: str
    outcome: str | None
    reply_id: UUID | None
    discards: int
    llm_config_name: str | None
    model: str | None
    prompt_version: str | None
    tokens_in: int
    tokens_out: int
    started_at: datetime
    ended_at: datetime | None
    steps: list[StepAnswer]
