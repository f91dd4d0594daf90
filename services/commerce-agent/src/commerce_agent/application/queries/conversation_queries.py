"""What screens and REST show of conversations."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from commerce_agent.application.queries.page import Page
from commerce_agent.domain.value_objects.conversation_state import ConversationState, Owner
from commerce_agent.domain.value_objects.ids import CustomerId, ReplyId, TurnId
from shared.kernel.errors import NotFound
from shared.kernel.ids import ChannelId, ConversationId, TenantId


class ReplyNotFound(NotFound):
    """No turn made this reply."""

    code = "reply_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationRow:
    id: ConversationId
    channel_id: ChannelId
    customer_id: CustomerId
    customer_name: str | None
    customer_phone: str | None
    address: str
    owner: Owner
    owner_reason: str | None
    state: ConversationState
    trouble: str | None
    """Code of what keeps the AI from answering; ``None``: nothing does."""
    handover: Mapping[str, Any] | None
    """``reason``, ``summary`` and ``team`` of the last hand-over."""
    unanswered: int
    first_unanswered_at: datetime | None
    last_message_at: datetime | None
    last_text: str | None
    """The latest message in either direction, in short."""
    version: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRow:
    """One bubble of the thread, whoever sent it."""

    id: UUID
    direction: Literal["in", "out"]
    by: Literal["customer", "ai", "staff", "phone", "platform"]
    """``phone``: typed on the shop's phone; ``platform``: a notice or holding line."""
    kind: Literal["message", "reaction"]
    content_type: str
    text: str | None
    content: Mapping[str, Any]
    state: str
    """Of a customer's message ``waiting`` or how it was answered; of a send its state."""
    ack: int | None
    """How far it came: -1 error, 1 server, 2 device, 3 read, 4 played."""
    native_id: str | None
    reply_to: str | None
    """WhatsApp id of the message quoted or reacted to."""
    reply_id: ReplyId | None
    """Of an AI bubble: leads to `why`. Of a customer's message: what answered it."""
    author: str | None
    error_code: str | None
    recovered: bool
    at: datetime
    edited_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One step of a journal: what was read, said, asked of a tool, refused or thrown away."""

    step: int
    call: int
    kind: Literal["read", "model", "tool", "check", "discard"]
    name: str | None
    body: Mapping[str, Any]
    result: str | None
    milliseconds: int | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRow:
    """Why a reply says what it says."""

    id: TurnId
    conversation_id: ConversationId
    state: str
    outcome: str | None
    reply_id: ReplyId | None
    discards: int
    llm_config_name: str | None
    model: str | None
    prompt_version: str | None
    tokens_in: int
    tokens_out: int
    started_at: datetime
    ended_at: datetime | None
    steps: tuple[StepRow, ...]


class ConversationQueries(Protocol):
    """Reads of one tenant's conversations."""

    async def get(self, tenant_id: TenantId, conversation_id: ConversationId) -> ConversationRow:
        """Raises `ConversationNotFound`."""
        ...

    async def list(
        self,
        tenant_id: TenantId,
        *,
        limit: int = 50,
        cursor: str | None = None,
        owner: Owner | None = None,
    ) -> Page[ConversationRow]:
        """A page, the latest message first. Raises `BadCursor`, `BadLimit`."""
        ...

    async def messages(
        self,
        tenant_id: TenantId,
        conversation_id: ConversationId,
        *,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[MessageRow]:
        """Both sides of the thread, the latest first.

        Raises `ConversationNotFound`, `BadCursor`, `BadLimit`.
        """
        ...

    async def why(self, tenant_id: TenantId, reply_id: ReplyId) -> TurnRow:
        """The turn that made a reply, with its journal. Raises `ReplyNotFound`."""
        ...
