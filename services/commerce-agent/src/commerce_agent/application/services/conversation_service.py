"""What people do in conversations: take over, answer, give back, hand over."""

from dataclasses import dataclass
from typing import Final

import orjson

from commerce_agent.application.ports.announcements import Announcements
from commerce_agent.application.ports.message_store import AnsweredHow
from commerce_agent.application.ports.send_store import Bubble, SendKind
from commerce_agent.application.ports.shop_agent import EffectKey, ToolDone
from commerce_agent.application.ports.turn_store import TurnOutcome
from commerce_agent.application.services.customer_directory import meet
from commerce_agent.application.services.hand_over import hand_over_to_staff
from commerce_agent.application.services.turn_tasks import turn_task
from commerce_agent.application.unit_of_work import UnitOfWork, UnitOfWorkFactory
from commerce_agent.domain.entities.conversation import Conversation, HandOver
from commerce_agent.domain.entities.customer import Customer, WantsNoMessages
from commerce_agent.domain.events.conversation_events import StaffReplied
from commerce_agent.domain.services.bubbles import split_bubbles
from commerce_agent.domain.services.whatsapp_text import to_whatsapp
from commerce_agent.domain.value_objects.conversation_state import Owner
from commerce_agent.domain.value_objects.ids import ReplyId
from commerce_agent.domain.value_objects.phone import parse_phone
from shared.kernel.errors import Invalid
from shared.kernel.ids import ChannelId, ConversationId, SendId, TenantId, new_id

HANDED_OVER: Final = orjson.dumps({"handed_over": True}).decode()
"""What the tool tells the model."""


class NothingToSend(Invalid):
    """The text is empty."""

    code = "nothing_to_send"


@dataclass(frozen=True, slots=True)
class ConversationService:
    """Conversations of one tenant at a time. ``actor`` names the person or key that acts."""

    uow: UnitOfWorkFactory
    announcements: Announcements

    async def take_over(
        self, tenant_id: TenantId, conversation_id: ConversationId, *, actor: str
    ) -> Conversation:
        """A person answers from here on; nothing of the AI's that was not claimed yet is sent.

        Raises:
            ConversationNotFound: there is no such conversation.
        """
        async with self.uow(tenant_id) as uow:
            conversation = await uow.conversations.get(conversation_id)
            conversation.take_over(actor=actor, at=await uow.now())
            await uow.commit()
        await self.announcements.conversation_changed(tenant_id, conversation_id)
        return conversation

    async def return_to_ai(
        self, tenant_id: TenantId, conversation_id: ConversationId, *, actor: str
    ) -> Conversation:
        """The AI answers again, at once what waits.

        Raises:
            ConversationNotFound: there is no such conversation.
            NotOwnedByPerson: the AI has it already.
        """
        async with self.uow(tenant_id) as uow:
            conversation = await uow.conversations.get(conversation_id)
            conversation.return_to_ai(actor=actor, at=await uow.now())
            if await uow.messages.first_waiting_since(conversation_id) is not None:
                await uow.tx.enqueue(turn_task(conversation_id))
            await uow.commit()
        await self.announcements.conversation_changed(tenant_id, conversation_id)
        return conversation

    async def send_as_staff(
        self,
        tenant_id: TenantId,
        conversation_id: ConversationId,
        text: str,
        *,
        actor: str,
        reply_to: str | None = None,
    ) -> tuple[SendId, ...]:
        """Answer as a person: takes the conversation over, and answers all that waited.

        ``reply_to`` is the WhatsApp id of a message to quote.

        Raises:
            ConversationNotFound: there is no such conversation.
            NothingToSend: the text is empty.
        """
        bubbles = _bubbles(text)
        async with self.uow(tenant_id) as uow:
            conversation = await uow.conversations.get(conversation_id)
            sent = await _answer(uow, conversation, bubbles, actor=actor, reply_to=reply_to)
            await uow.commit()
        await self.announcements.conversation_changed(tenant_id, conversation_id)
        return sent

    async def send_notice(
        self, tenant_id: TenantId, conversation_id: ConversationId, text: str, *, actor: str
    ) -> tuple[SendId, ...]:
        """Tell the customer something without answering them: the owner stays, what waits waits.

        Raises:
            ConversationNotFound: there is no such conversation.
            WantsNoMessages: the customer has opted out of what they did not ask for.
            NothingToSend: the text is empty.
        """
        bubbles = _bubbles(text)
        async with self.uow(tenant_id) as uow:
            conversation = await uow.conversations.get(conversation_id)
            _respect_opt_out(await uow.customers.get(conversation.customer_id))
            sent = await uow.sends.add(
                conversation,
                bubbles,
                kind=SendKind.NOTICE,
                reply_id=ReplyId(new_id()),
                author=actor,
            )
            await uow.commit()
        await self.announcements.conversation_changed(tenant_id, conversation_id)
        return tuple(sent)

    async def open(self, tenant_id: TenantId, channel_id: ChannelId, *, phone: str) -> Conversation:
        """The conversation with this phone number on this channel, made if there is none: a way to
        tell them something.

        Raises:
            ChannelNotFound: there is no such channel.
            BadPhone: this is no phone number.
            WantsNoMessages: the customer has opted out of what they did not ask for.
        """
        address = f"{parse_phone(phone).removeprefix('+')}@c.us"
        async with self.uow(tenant_id) as uow:
            channel = await uow.channels.get(channel_id)
            customer = await meet(uow, tenant_id, (address,))
            _respect_opt_out(customer)
            conversation = await uow.conversations.open(channel.id, customer.id, address=address)
            await uow.commit()
        return conversation

    async def hand_over(
        self,
        tenant_id: TenantId,
        conversation_id: ConversationId,
        *,
        reason: str,
        summary: str,
        team: str | None = None,
        effect: EffectKey | None = None,
    ) -> str:
        """Ask staff to go on and tell the customer so. Somebody who has it already keeps it.

        Returns:
            The tool's result; for an effect that has happened before, what it returned then.

        Raises:
            ConversationNotFound: there is no such conversation.
            Fenced: the effect's worker has lost the conversation.
        """
        async with self.uow(tenant_id, effect) as uow:
            if uow.replayed is not None:
                return uow.replayed
            conversation = await uow.conversations.get(conversation_id)
            if conversation.owner is not Owner.PERSON:
                await hand_over_to_staff(
                    uow, conversation, HandOver(reason=reason, summary=summary, team=team)
                )
            await uow.commit(
                None if effect is None else ToolDone(request=effect.request, result=HANDED_OVER)
            )
        await self.announcements.conversation_changed(tenant_id, conversation_id)
        return HANDED_OVER


async def _answer(
    uow: UnitOfWork,
    conversation: Conversation,
    bubbles: list[Bubble],
    *,
    actor: str,
    reply_to: str | None,
) -> tuple[SendId, ...]:
    at = await uow.now()
    reply_id = ReplyId(new_id())
    conversation.take_over(actor=actor, at=at)
    conversation.settle(oldest_waiting=None)
    await uow.messages.settle(conversation.id, AnsweredHow.PERSON, by=reply_id, with_unclaimed=True)
    await uow.turns.end_open(conversation.id, TurnOutcome.ANSWERED_BY_PERSON)
    sent = await uow.sends.add(
        conversation,
        bubbles,
        kind=SendKind.STAFF,
        reply_id=reply_id,
        author=actor,
        reply_to=reply_to,
    )
    uow.tx.record(
        StaffReplied(
            tenant_id=conversation.tenant_id,
            conversation_id=conversation.id,
            occurred_at=at,
            reply_id=reply_id,
            actor=actor,
        )
    )
    return tuple(sent)


def _respect_opt_out(customer: Customer) -> None:
    if customer.opted_out:
        raise WantsNoMessages


def _bubbles(text: str) -> list[Bubble]:
    bubbles = [Bubble(body=body) for body in split_bubbles(to_whatsapp(text))]
    if not bubbles:
        raise NothingToSend
    return bubbles
