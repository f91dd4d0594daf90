"""What happens to messages after they were written: edits, deletions, reactions, ticks."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from commerce_agent.application.ports.early_events import EarlyEvent, EarlyKind
from commerce_agent.application.ports.message_store import AnsweredHow, StoredMessage
from commerce_agent.application.ports.turn_store import TurnOutcome
from commerce_agent.application.services.early_events import reaction_from_json, reaction_to_json
from commerce_agent.application.services.message_intake import schedule
from commerce_agent.application.services.stored import Stored, ignored, kept
from commerce_agent.application.unit_of_work import UnitOfWork
from commerce_agent.domain.entities.channel import Channel
from commerce_agent.domain.entities.conversation import Conversation
from commerce_agent.domain.events.conversation_events import MessageChanged, SendProgressed
from commerce_agent.domain.services.turn_rules import BufferRule
from commerce_agent.domain.value_objects.conversation_state import Owner
from shared.waha.events import AckEvent, EditedEvent, ReactionEvent, RevokedEvent


@dataclass(frozen=True, slots=True)
class MessageChanges:
    """Applies events about messages, or keeps them until the message is there. Callers commit."""

    buffer: BufferRule

    async def edit(
        self, uow: UnitOfWork, channel: Channel, event: EditedEvent, addresses: tuple[str, ...]
    ) -> Stored:
        """The text is another one. A draft or an unclaimed reply made from the old text goes.
        ``addresses`` are those of the chat's other person, here and below."""
        now = await uow.now()
        at = min(event.sent_at or now, now)
        found = await _locked(uow, channel, event.native_id, own=event.from_me)
        if found is None:
            body = {"text": event.text, "at": at.isoformat(), "own": event.from_me}
            return await _early(uow, channel, "edited", event.native_id, body, addresses)
        conversation, message = found
        if not await _same_chat(uow, conversation, addresses):
            return ignored("other_chat")
        if message is None:
            return await _note(uow, conversation, "own_send_edited", event.native_id, now)
        if message.is_revoked:
            return ignored("revoked_before")
        await uow.messages.edit(message.id, event.text, at=at)
        if message.direction == "in":
            await self._read_anew(uow, conversation, message, now)
        return await _note(uow, conversation, "edited", event.native_id, now)

    async def _read_anew(
        self, uow: UnitOfWork, conversation: Conversation, message: StoredMessage, now: datetime
    ) -> None:
        if message.answered_how is None:
            conversation.hear_anew()
            await schedule(uow, conversation, self.buffer, now=now)
        elif (
            message.answered_how is AnsweredHow.AI
            and message.answered_by is not None
            and conversation.owner is Owner.AI
            and await uow.sends.withdraw(conversation.id, message.answered_by)
        ):
            conversation.hear_anew()

    async def revoke(
        self, uow: UnitOfWork, channel: Channel, event: RevokedEvent, addresses: tuple[str, ...]
    ) -> Stored:
        """It was deleted for everyone. Whether a reply that covers it may still leave is decided
        when the reply is claimed."""
        found = await _locked(uow, channel, event.native_id, own=event.from_me)
        now = await uow.now()  # under the lock, as claims take their time
        if found is None:
            body = {"at": now.isoformat(), "own": event.from_me}
            return await _early(uow, channel, "revoked", event.native_id, body, addresses)
        conversation, message = found
        if not await _same_chat(uow, conversation, addresses):
            return ignored("other_chat")
        if message is None:
            return await _note(uow, conversation, "own_send_revoked", event.native_id, now)
        await uow.messages.revoke(message.id, at=now)
        if message.direction == "in" and message.answered_how is None:
            oldest = await uow.messages.first_waiting_since(conversation.id)
            conversation.settle(oldest_waiting=oldest)
            if oldest is None:
                await uow.turns.end_open(conversation.id, TurnOutcome.NOTHING_LEFT)
        return await _note(uow, conversation, "revoked", event.native_id, now)

    async def react(
        self, uow: UnitOfWork, channel: Channel, event: ReactionEvent, addresses: tuple[str, ...]
    ) -> Stored:
        """Kept beside the message; nobody answers it."""
        now = await uow.now()
        body = reaction_to_json(event, min(event.sent_at or now, now))
        found = await _locked(uow, channel, event.target_id)
        if found is None:
            return await _early(uow, channel, "reaction", event.target_id, body, addresses)
        conversation, _ = found
        if not await _same_chat(uow, conversation, addresses):
            return ignored("other_chat")
        if not await uow.messages.add(reaction_from_json(conversation, body)):
            return ignored("duplicate")
        return await _note(uow, conversation, "reaction", event.target_id, now)

    async def acknowledge(self, uow: UnitOfWork, channel: Channel, event: AckEvent) -> Stored:
        """How far a message of ours came; the highest level wins."""
        sends = await uow.sends.acknowledge(channel.id, event.native_id, event.level)
        if sends:
            for send in sends:
                uow.tx.record(
                    SendProgressed(
                        tenant_id=channel.tenant_id,
                        conversation_id=send.conversation_id,
                        occurred_at=await uow.now(),
                        send_id=send.id,
                        ack=event.level,
                    )
                )
            return kept(sends[0].conversation_id)
        if await uow.messages.set_ack(channel.id, event.native_id, event.level):
            return kept()
        if not event.from_me:
            return ignored("not_ours")
        return await _early(uow, channel, "ack", event.native_id, {"level": event.level})


async def _locked(
    uow: UnitOfWork,
    channel: Channel,
    native_id: str,
    *,
    own: bool | None = None,
    is_alone: bool = False,
) -> tuple[Conversation, StoredMessage | None] | None:
    """The conversation of a message, locked, and the message as it is under that lock; ``None`` in
    its place: it is a send of ours. ``None``: nobody knows the id yet. ``own`` says whether it must
    be a message of the shop or of a customer, who may both have chosen the same id."""
    direction = None if own is None else "out" if own else "in"
    message = await uow.messages.find(channel.id, native_id, direction=direction)
    conversation_id = None if message is None else message.conversation_id
    if message is None and own is not False:
        conversation_id = await uow.sends.find_conversation(channel.id, native_id)
    if conversation_id is None:
        if is_alone:
            return None
        await uow.early.alone(channel.id, native_id)  # the message may be arriving this moment
        return await _locked(uow, channel, native_id, own=own, is_alone=True)
    conversation = await uow.conversations.find(conversation_id)
    if conversation is None:  # merged into another this moment
        return await _locked(uow, channel, native_id, own=own, is_alone=is_alone)
    return conversation, await uow.messages.find(channel.id, native_id, direction=direction)


async def _same_chat(
    uow: UnitOfWork, conversation: Conversation, addresses: tuple[str, ...]
) -> bool:
    """Whether this was said in that conversation. Ids are chosen by senders: nobody may touch what
    stands in another's chat by naming its id. An event that names no chat is believed."""
    if not addresses:
        return True
    known = await uow.customers.find_by_addresses(addresses)
    return any(customer.id == conversation.customer_id for customer in known)


async def _early(
    uow: UnitOfWork,
    channel: Channel,
    kind: EarlyKind,
    native_id: str,
    body: dict[str, Any],
    addresses: tuple[str, ...] = (),
) -> Stored:
    chat = addresses[0] if addresses else ""
    await uow.early.keep(channel.id, native_id, EarlyEvent(kind=kind, body=body, chat=chat))
    return kept(None, "early")


async def _note(
    uow: UnitOfWork, conversation: Conversation, change: str, native_id: str, at: datetime
) -> Stored:
    uow.tx.record(
        MessageChanged(
            tenant_id=conversation.tenant_id,
            conversation_id=conversation.id,
            occurred_at=at,
            change=change,
            native_id=native_id,
        )
    )
    return kept(conversation.id)
