"""A conversation with one customer on one channel: who answers, what waits, what went wrong."""

from dataclasses import dataclass
from datetime import datetime

from commerce_agent.domain.events.conversation_events import (
    AnswerDelayed,
    ConversationHandedOver,
    ConversationPaused,
    ConversationReplied,
    ConversationReturned,
    ConversationTakenOver,
)
from commerce_agent.domain.value_objects.conversation_state import ConversationState, Owner
from commerce_agent.domain.value_objects.ids import CustomerId, ReplyId, TurnId
from shared.kernel.errors import Conflict, NotFound
from shared.kernel.events import Aggregate
from shared.kernel.ids import ChannelId, ConversationId, TenantId


class ConversationNotFound(NotFound):
    """There is no such conversation."""

    code = "conversation_not_found"


class NotOwnedByPerson(Conflict):
    """The AI answers in this conversation already."""

    code = "already_with_ai"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """Why staff were asked to go on, in words for them; ``team`` is who should."""

    reason: str
    summary: str
    team: str | None = None


@dataclass(eq=False, kw_only=True)
class Conversation(Aggregate):
    """One customer on one channel. Its verbs are called under the row's lock, so what they read is
    what is true."""

    id: ConversationId
    tenant_id: TenantId
    channel_id: ChannelId
    customer_id: CustomerId
    address: str
    """Where replies go."""
    owner: Owner = Owner.AI
    owner_epoch: int = 1
    """Rises with every change of owner; a reply made under an older one is never sent."""
    owner_reason: str | None = None
    lease_epoch: int = 0
    """Rises with every worker that takes the conversation; an older one may write nothing more."""
    inbound_seq: int = 0
    """Counts what customers said; a draft made before the latest is discarded."""
    out_seq: int = 0
    first_unanswered_at: datetime | None = None
    state: ConversationState = ConversationState.GREETING
    failed_turns: int = 0
    incident_since: datetime | None = None
    trouble: str | None = None
    handover: HandOver | None = None
    last_message_at: datetime | None = None

    def hear(self, *, sent_at: datetime, now: datetime) -> int:
        """Count a message that waits for an answer; returns its number."""
        self.inbound_seq += 1
        if self.first_unanswered_at is None:
            self.first_unanswered_at = now
        self.see(sent_at)
        return self.inbound_seq

    def hear_anew(self) -> None:
        """What waits for an answer reads otherwise now: a draft made before knows nothing of it."""
        self.inbound_seq += 1

    def settle(self, *, oldest_waiting: datetime | None) -> None:
        """Some messages wait no longer. What is left waits since it came, but not since before it
        was given back to the AI."""
        if oldest_waiting is None:
            self.first_unanswered_at = None
        else:
            self.first_unanswered_at = max(
                oldest_waiting, self.first_unanswered_at or oldest_waiting
            )

    def see(self, sent_at: datetime) -> None:
        """Move the conversation up in the list, for any message in either direction."""
        self.last_message_at = max(sent_at, self.last_message_at or sent_at)

    def next_send(self) -> int:
        """The place of one more bubble; bubbles leave in this order."""
        self.out_seq += 1
        return self.out_seq

    def take_over(self, *, actor: str, at: datetime) -> None:
        """A person answers from here on; doing it twice is once."""
        if self.owner is Owner.PERSON:
            return
        self._become(Owner.PERSON, f"taken over by {actor}")
        self._record(
            ConversationTakenOver(
                tenant_id=self.tenant_id,
                conversation_id=self.id,
                occurred_at=at,
                actor=actor,
                owner_epoch=self.owner_epoch,
            )
        )

    def pause(self, *, at: datetime) -> None:
        """Somebody typed on the phone: the AI waits. A person who has it keeps it."""
        if self.owner is not Owner.AI:
            return
        self._become(Owner.PAUSED, "typed on the phone")
        self._record(
            ConversationPaused(
                tenant_id=self.tenant_id,
                conversation_id=self.id,
                occurred_at=at,
                owner_epoch=self.owner_epoch,
            )
        )

    def return_to_ai(self, *, actor: str, at: datetime) -> None:
        """The AI answers again, with a clean record; what waits counts as waiting since now.

        Raises:
            NotOwnedByPerson: the AI has it already.
        """
        if self.owner is Owner.AI:
            raise NotOwnedByPerson
        self._become(Owner.AI, None)
        self.failed_turns = 0
        self.incident_since = None
        self.trouble = None
        if self.first_unanswered_at is not None:
            self.first_unanswered_at = at
        self._record(
            ConversationReturned(
                tenant_id=self.tenant_id,
                conversation_id=self.id,
                occurred_at=at,
                actor=actor,
                owner_epoch=self.owner_epoch,
            )
        )

    def hand_over(self, handover: HandOver, *, at: datetime) -> None:
        """Ask staff to go on; the reason stays until the next hand-over."""
        self._become(Owner.PERSON, f"handed over: {handover.reason}")
        self.handover = handover
        self.first_unanswered_at = None
        self._record(
            ConversationHandedOver(
                tenant_id=self.tenant_id,
                conversation_id=self.id,
                occurred_at=at,
                reason=handover.reason,
                owner_epoch=self.owner_epoch,
            )
        )

    def delay(self, *, cause: str, at: datetime) -> bool:
        """No model can answer now. Says whether this begins an incident: the customer is told once
        per incident."""
        begins = self.incident_since is None
        if begins:
            self.incident_since = at
        if begins or self.trouble != cause:
            self._record(
                AnswerDelayed(
                    tenant_id=self.tenant_id, conversation_id=self.id, occurred_at=at, cause=cause
                )
            )
        self.trouble = cause
        return begins

    def fail(self) -> int:
        """Count a turn that could not be answered properly; returns how many in a row."""
        self.failed_turns += 1
        return self.failed_turns

    def reply(
        self,
        *,
        turn_id: TurnId,
        reply_id: ReplyId,
        bubbles: int,
        lease_epoch: int,
        real: bool,
        at: datetime,
    ) -> None:
        """A reply is committed, under a lease. A ``real`` one (no safe template) ends the row of
        failures; either ends the incident, for a model did answer."""
        if real:
            self.failed_turns = 0
        self.incident_since = None
        self.trouble = None
        self._record(
            ConversationReplied(
                tenant_id=self.tenant_id,
                conversation_id=self.id,
                occurred_at=at,
                turn_id=turn_id,
                reply_id=reply_id,
                bubbles=bubbles,
                lease_epoch=lease_epoch,
                fence=self.lease_epoch,
            )
        )

    def _become(self, owner: Owner, reason: str | None) -> None:
        self.owner = owner
        self.owner_epoch += 1
        self.owner_reason = reason
