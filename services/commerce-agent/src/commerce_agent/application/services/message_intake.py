"""A customer's message becomes work for the AI, once."""

from dataclasses import dataclass
from datetime import datetime

from commerce_agent.application.ports.inbox import Arrival
from commerce_agent.application.ports.message_store import AnsweredHow, NewMessage, StoredMessage
from commerce_agent.application.services.customer_directory import meet
from commerce_agent.application.services.early_events import apply_early
from commerce_agent.application.services.stored import Stored, ignored, kept
from commerce_agent.application.services.turn_tasks import turn_task
from commerce_agent.application.unit_of_work import UnitOfWork
from commerce_agent.domain.entities.channel import Channel
from commerce_agent.domain.entities.conversation import Conversation
from commerce_agent.domain.entities.customer import Customer
from commerce_agent.domain.events.conversation_events import MessageReceived
from commerce_agent.domain.services.alias_rules import reply_address
from commerce_agent.domain.services.turn_rules import BufferRule, is_recovered
from commerce_agent.domain.value_objects.conversation_state import Owner
from commerce_agent.domain.value_objects.ids import MessageId, ReplyId
from shared.kernel.ids import new_id
from shared.waha.events import MessageEvent


@dataclass(frozen=True, slots=True)
class MessageIntake:
    """Stores what customers wrote. Callers commit."""

    buffer: BufferRule

    async def take(
        self,
        uow: UnitOfWork,
        channel: Channel,
        arrival: Arrival,
        event: MessageEvent,
        addresses: tuple[str, ...],
    ) -> Stored:
        """Store a message, or see that it is stored already. ``addresses`` are the sender's."""
        known = await uow.messages.find(channel.id, event.native_id, direction="in")
        if known is None:
            customer = await meet(uow, channel.tenant_id, addresses, push_name=event.push_name)
            conversation = await open_conversation(uow, channel, customer, addresses)
            if await self._store(uow, channel, arrival, event, conversation):
                return kept(conversation.id)
            known = await uow.messages.find(channel.id, event.native_id, direction="in")
            assert known is not None, "insert-first met a row that is not there"
        return await self._again(uow, channel, arrival, event, addresses, known)

    async def _again(
        self,
        uow: UnitOfWork,
        channel: Channel,
        arrival: Arrival,
        event: MessageEvent,
        addresses: tuple[str, ...],
        known: StoredMessage,
    ) -> Stored:
        """The same id again: a duplicate, or somebody who chose another's id."""
        if len(addresses) > 1:  # this delivery may tell us that two addresses are one person's
            await meet(uow, channel.tenant_id, addresses)
        senders = await uow.customers.find_by_addresses(addresses)
        known = await uow.messages.find(channel.id, event.native_id, direction="in") or known
        if all(sender.id != known.customer_id for sender in senders):
            reason = "other_sender"
        elif (known.original, known.content_type) != (event.text, event.content_type.value):
            reason = "other_content"
        else:
            return ignored("duplicate")
        await uow.messages.keep_anomaly(
            channel_id=channel.id, message_id=known.id, inbox_id=arrival.id, reason=reason
        )
        return kept(None, f"anomaly_{reason}")

    async def _store(
        self,
        uow: UnitOfWork,
        channel: Channel,
        arrival: Arrival,
        event: MessageEvent,
        conversation: Conversation,
    ) -> bool:
        now = await uow.now()
        sent_at = sent_when(event, arrival)
        how = _how(event, sent_at, now)
        seen = await uow.messages.typed_since(conversation.id, sent_at) if how is None else None
        if seen is not None:
            how = AnsweredHow.PERSON
        message_id = MessageId(new_id())
        stored = await uow.messages.add(
            NewMessage(
                id=message_id,
                channel_id=channel.id,
                conversation_id=conversation.id,
                direction="in",
                native_id=event.native_id,
                sender=event.sender,
                seq=conversation.inbound_seq + 1 if how is None else None,
                content_type=event.content_type.value,
                body=event.text,
                content=event.content,
                reply_to=event.reply_to,
                inbox_id=arrival.id,
                inbox_sequence=arrival.sequence,
                recovered=how is AnsweredHow.RECOVERED or arrival.from_gap_repair,
                answered_how=how,
                answered_by=None if seen is None else ReplyId(seen),
                sent_at=sent_at,
            )
        )
        if not stored:
            return False
        is_revoked = await apply_early(uow, channel, conversation, message_id, event.native_id)
        if how is None and not is_revoked:
            conversation.hear(sent_at=sent_at, now=now)
            await schedule(uow, conversation, self.buffer, now=now)
        else:
            conversation.see(sent_at)
            if how is None:
                conversation.hear_anew()  # it has its place among what the customer said
        uow.tx.record(
            MessageReceived(
                tenant_id=conversation.tenant_id,
                conversation_id=conversation.id,
                occurred_at=now,
                message_id=message_id,
                direction="in",
                recovered=how is AnsweredHow.RECOVERED,
            )
        )
        return True


async def open_conversation(
    uow: UnitOfWork, channel: Channel, customer: Customer, addresses: tuple[str, ...]
) -> Conversation:
    """The customer's conversation on this channel, locked; replies go where they now belong."""
    conversation = await uow.conversations.open(channel.id, customer.id, address=addresses[0])
    conversation.address = reply_address(
        addresses[0], customer.addresses, present=conversation.address
    )
    return conversation


async def schedule(
    uow: UnitOfWork, conversation: Conversation, buffer: BufferRule, *, now: datetime
) -> None:
    """Make the AI look at what waits, after a quiet moment; not while somebody else answers."""
    since = conversation.first_unanswered_at
    if conversation.owner is Owner.AI and since is not None:
        due = buffer.due(now=now, first_unanswered_at=since)
        await uow.tx.enqueue(turn_task(conversation.id, available_at=due))


def sent_when(event: MessageEvent, arrival: Arrival) -> datetime:
    """WhatsApp's time, or that of arrival; what is dated ahead of our clock was written when it
    arrived, so that it keeps its order whoever of several workers is first."""
    return min(event.sent_at or arrival.received_at, arrival.received_at)


def _how(event: MessageEvent, sent_at: datetime, now: datetime) -> AnsweredHow | None:
    """Why this message waits for no answer, if it does not."""
    if is_recovered(sent_at=sent_at, now=now, from_history=event.recovered_hint):
        return AnsweredHow.RECOVERED
    return None if event.answerable else AnsweredHow.NOTHING_TO_ANSWER
