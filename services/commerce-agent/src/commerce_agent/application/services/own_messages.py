"""A message of the shop's own number: the echo of one of our sends, or somebody's typing."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from commerce_agent.application.ports.inbox import Arrival
from commerce_agent.application.ports.message_store import (
    THROUGH_API,
    AnsweredHow,
    NewMessage,
)
from commerce_agent.application.ports.send_store import EchoedSend
from commerce_agent.application.ports.turn_store import TurnOutcome
from commerce_agent.application.services.customer_directory import meet
from commerce_agent.application.services.early_events import apply_early
from commerce_agent.application.services.message_intake import open_conversation, sent_when
from commerce_agent.application.services.stored import Stored, ignored, kept
from commerce_agent.application.unit_of_work import UnitOfWork
from commerce_agent.domain.entities.channel import Channel
from commerce_agent.domain.entities.conversation import Conversation
from commerce_agent.domain.events.conversation_events import MessageReceived, SendProgressed
from commerce_agent.domain.services.turn_rules import ECHO_MEMORY, is_recovered
from commerce_agent.domain.value_objects.ids import MessageId, ReplyId
from shared.kernel.ids import new_id
from shared.waha.events import MessageEvent


@dataclass(frozen=True, slots=True)
class OwnMessages:
    """Tells echoes from typing. Callers commit."""

    call_window: timedelta
    """For so long after a claim its call may still be running."""

    async def take(
        self,
        uow: UnitOfWork,
        channel: Channel,
        arrival: Arrival,
        event: MessageEvent,
        addresses: tuple[str, ...],
    ) -> Stored:
        """It counts as typed on the phone only if it did not come through the API, its id is none
        of ours, and no send that is or lately was without an outcome says the same."""
        echo = await self._echo_by_id(uow, channel, event)
        if echo is None:
            customer = await meet(uow, channel.tenant_id, addresses)
            conversation = await open_conversation(uow, channel, customer, addresses)
            echo = await self._echo_by_text(uow, conversation, event)
            if echo is None:
                return await self._keep(uow, channel, arrival, event, conversation)
        await self._note_echo(uow, channel, event, echo)
        return kept(echo.conversation_id, "echo")

    async def _echo_by_id(
        self, uow: UnitOfWork, channel: Channel, event: MessageEvent
    ) -> EchoedSend | None:
        conversation_id = await uow.sends.find_conversation(channel.id, event.native_id)
        if conversation_id is None:
            return None
        await uow.conversations.find(conversation_id)
        return await uow.sends.echo(channel.id, event.native_id, call_window=self.call_window)

    async def _echo_by_text(
        self, uow: UnitOfWork, conversation: Conversation, event: MessageEvent
    ) -> EchoedSend | None:
        if event.text is None:
            return None
        return await uow.sends.echo_by_text(
            conversation.id,
            event.native_id,
            event.text,
            call_window=self.call_window,
            memory=ECHO_MEMORY,
        )

    async def _note_echo(
        self, uow: UnitOfWork, channel: Channel, event: MessageEvent, echo: EchoedSend
    ) -> None:
        for early in await uow.early.take(channel.id, event.native_id):
            if early.kind == "ack":
                await uow.sends.acknowledge(channel.id, event.native_id, early.body["level"])
        uow.tx.record(
            SendProgressed(
                tenant_id=channel.tenant_id,
                conversation_id=echo.conversation_id,
                occurred_at=await uow.now(),
                send_id=echo.id,
            )
        )

    async def _keep(
        self,
        uow: UnitOfWork,
        channel: Channel,
        arrival: Arrival,
        event: MessageEvent,
        conversation: Conversation,
    ) -> Stored:
        now = await uow.now()
        sent_at = sent_when(event, arrival)
        recovered = is_recovered(sent_at=sent_at, now=now, from_history=event.recovered_hint)
        message_id = MessageId(new_id())
        stored = await uow.messages.add(
            NewMessage(
                id=message_id,
                channel_id=channel.id,
                conversation_id=conversation.id,
                direction="out",
                native_id=event.native_id,
                sender=event.sender,
                content_type=event.content_type.value,
                body=event.text,
                content={**event.content, THROUGH_API: True}
                if event.source_is_api
                else event.content,
                reply_to=event.reply_to,
                inbox_id=arrival.id,
                inbox_sequence=arrival.sequence,
                recovered=recovered or arrival.from_gap_repair,
                sent_at=sent_at,
            )
        )
        if not stored:
            return ignored("duplicate")
        await apply_early(uow, channel, conversation, message_id, event.native_id, own=True)
        conversation.see(sent_at)
        if not event.source_is_api and not recovered:
            await self._typed(uow, conversation, message_id, sent_at, now)
        uow.tx.record(
            MessageReceived(
                tenant_id=conversation.tenant_id,
                conversation_id=conversation.id,
                occurred_at=now,
                message_id=message_id,
                direction="out",
                recovered=recovered,
            )
        )
        return kept(conversation.id)

    async def _typed(
        self,
        uow: UnitOfWork,
        conversation: Conversation,
        message_id: MessageId,
        sent_at: datetime,
        now: datetime,
    ) -> None:
        """A person answers from the phone: the AI waits, and what came before is answered."""
        conversation.pause(at=now)
        await uow.messages.settle(
            conversation.id,
            AnsweredHow.PERSON,
            by=ReplyId(message_id),
            until=sent_at,
            with_unclaimed=True,
        )
        oldest = await uow.messages.first_waiting_since(conversation.id)
        conversation.settle(oldest_waiting=oldest)
        if oldest is None:
            await uow.turns.end_open(conversation.id, TurnOutcome.ANSWERED_BY_PERSON)
