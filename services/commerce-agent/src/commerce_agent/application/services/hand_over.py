"""Asking staff to go on: one set of effects, whoever asks."""

from commerce_agent.application.ports.message_store import AnsweredHow
from commerce_agent.application.ports.send_store import Bubble, SendKind
from commerce_agent.application.ports.turn_store import TurnOutcome
from commerce_agent.application.unit_of_work import UnitOfWork
from commerce_agent.domain.entities.conversation import Conversation, HandOver
from commerce_agent.domain.services.customer_notices import hand_over_line, language_of
from commerce_agent.domain.value_objects.ids import ReplyId
from shared.kernel.ids import new_id


async def hand_over_to_staff(
    uow: UnitOfWork, conversation: Conversation, handover: HandOver
) -> None:
    """The customer is told, a person owns the conversation, what waited is theirs and the turn is
    over; all in the unit of work that the caller commits."""
    conversation.hand_over(handover, at=await uow.now())
    reply_id = ReplyId(new_id())
    await uow.messages.settle(
        conversation.id, AnsweredHow.HANDED_OVER, by=reply_id, with_unclaimed=True
    )
    await uow.turns.end_open(conversation.id, TurnOutcome.HANDED_OVER)
    line = hand_over_line(
        await language_for(uow, conversation),
        (await uow.tenants.get(conversation.tenant_id)).profile.hours,
    )
    await uow.sends.add(conversation, [Bubble(body=line)], kind=SendKind.NOTICE, reply_id=reply_id)


async def language_for(uow: UnitOfWork, conversation: Conversation) -> str:
    """The language of what the platform itself says in this conversation."""
    customer = await uow.customers.get(conversation.customer_id)
    tenant = await uow.tenants.get(conversation.tenant_id)
    return language_of(customer.language, tenant.language)
