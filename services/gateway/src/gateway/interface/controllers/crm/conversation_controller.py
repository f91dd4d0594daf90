"""Conversations: to read, to answer as a person, to take from the AI and to give back."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from commerce_agent.application.queries.conversation_queries import ConversationRow, TurnRow
from commerce_agent.domain.value_objects.conversation_state import Owner
from gateway.crm.dependencies import (
    ConversationList,
    Conversations,
    CurrentCaller,
    Explained,
    TenantFor,
)
from gateway.domain.entities.api_key import Scope
from gateway.interface.errors import errors
from gateway.interface.http.api_route import ApiRoute
from gateway.interface.schemas.common import Cursor, Limit, PageOf, page_of, tagged
from gateway.interface.schemas.conversations import (
    ConversationAnswer,
    MessageAnswer,
    StaffMessage,
    WhyAnswer,
)
from gateway.interface.schemas.whatsapp import SentAnswer
from shared.kernel.ids import ConversationId, TenantId

router = APIRouter(
    prefix="/v1/crm/tenants/{tenant_id}/conversations", tags=["conversations"], route_class=ApiRoute
)

Reader = Annotated[TenantId, Depends(TenantFor(Scope.CONVERSATIONS_READ))]
Writer = Annotated[TenantId, Depends(TenantFor(Scope.CONVERSATIONS_WRITE))]


@router.get("")
async def list_conversations(
    tenant: Reader,
    rows: ConversationList,
    limit: Limit = 50,
    cursor: Cursor = None,
    owner: Owner | None = None,
) -> PageOf[ConversationAnswer]:
    """The shop's conversations, the latest message first."""
    page = await rows.list(tenant, limit=limit, cursor=cursor, owner=owner)
    return page_of(page, ConversationAnswer.model_validate)


@router.get("/{conversation_id}", response_model=ConversationAnswer)
async def get_conversation(
    conversation_id: ConversationId, tenant: Reader, rows: ConversationList, response: Response
) -> ConversationRow:
    """One conversation: who answers, and what waits."""
    conversation = await rows.get(tenant, conversation_id)
    tagged(response, conversation.version)
    return conversation


@router.get("/{conversation_id}/messages")
async def list_messages(
    conversation_id: ConversationId,
    tenant: Reader,
    rows: ConversationList,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageOf[MessageAnswer]:
    """Both sides of the thread, the latest first."""
    page = await rows.messages(tenant, conversation_id, limit=limit, cursor=cursor)
    return page_of(page, MessageAnswer.model_validate)


@router.post("/{conversation_id}/messages", status_code=202)
async def send_message(
    conversation_id: ConversationId,
    body: StaffMessage,
    tenant: Writer,
    caller: CurrentCaller,
    conversations: Conversations,
) -> SentAnswer:
    """Answer as a person. This takes the conversation over: the AI is silent until it is returned.
    A long text becomes several bubbles."""
    sent = await conversations.send_as_staff(
        tenant, conversation_id, body.text, actor=caller.name, reply_to=body.reply_to
    )
    return SentAnswer(conversation_id=conversation_id, send_ids=list(sent))


@router.post("/{conversation_id}/take-over", response_model=ConversationAnswer)
async def take_over(
    conversation_id: ConversationId,
    tenant: Writer,
    caller: CurrentCaller,
    conversations: Conversations,
    rows: ConversationList,
) -> ConversationRow:
    """A person answers from now on; what the AI has not sent yet is not sent."""
    await conversations.take_over(tenant, conversation_id, actor=caller.name)
    return await rows.get(tenant, conversation_id)


@router.post(
    "/{conversation_id}/return-to-ai", response_model=ConversationAnswer, responses=errors(409)
)
async def return_to_ai(
    conversation_id: ConversationId,
    tenant: Writer,
    caller: CurrentCaller,
    conversations: Conversations,
    rows: ConversationList,
) -> ConversationRow:
    """The AI answers again, at once what waits."""
    await conversations.return_to_ai(tenant, conversation_id, actor=caller.name)
    return await rows.get(tenant, conversation_id)


@router.get("/{conversation_id}/messages/{message_id}/why", response_model=WhyAnswer)
async def why(
    conversation_id: ConversationId, message_id: UUID, tenant: Reader, explanations: Explained
) -> TurnRow:
    """Why the AI wrote this bubble: what it read, what its tools said, model, prompt, tokens."""
    return await explanations.why(tenant, conversation_id, message_id)
