"""The turn engine: one answer at a time to everything a customer said and nobody answered.

A worker takes the conversation's lease, reads, lets the agent think without any transaction open,
and commits the reply on the condition that nothing has changed meanwhile. Everything it writes is
fenced by the lease's epoch; whatever it leaves behind when it dies, the next worker goes on with.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from structlog.contextvars import bound_contextvars

from commerce_agent.application.ports.announcements import Announcements
from commerce_agent.application.ports.message_store import AnsweredHow, Waiting
from commerce_agent.application.ports.prompt_cache import PromptCache
from commerce_agent.application.ports.send_store import Bubble, SendKind
from commerce_agent.application.ports.shop_agent import (
    AgentUnavailable,
    Draft,
    Fenced,
    HandedOver,
    ShopAgent,
)
from commerce_agent.application.ports.turn_store import OpenTurn, TurnOutcome
from commerce_agent.application.services.hand_over import hand_over_to_staff, language_for
from commerce_agent.application.services.lease_keeper import HeldLease, OutOfTime, hold
from commerce_agent.application.services.turn_journal import TurnJournal, fenced
from commerce_agent.application.services.turn_reading import Reading, read_turn
from commerce_agent.application.services.turn_tasks import finish, turn_task
from commerce_agent.application.unit_of_work import UnitOfWork, UnitOfWorkFactory
from commerce_agent.domain.entities.conversation import Conversation, HandOver
from commerce_agent.domain.repositories.conversation_repository import Lease, LeaseTaken
from commerce_agent.domain.services.bubbles import split_bubbles
from commerce_agent.domain.services.customer_notices import holding_line
from commerce_agent.domain.services.turn_rules import (
    FAILED_TURNS_BEFORE_HAND_OVER,
    REPLIES_IN_A_ROW,
    REPLIES_WITHIN,
    TOO_OLD,
    next_try,
)
from commerce_agent.domain.services.whatsapp_text import to_whatsapp
from commerce_agent.domain.value_objects.conversation_state import Owner
from commerce_agent.domain.value_objects.ids import ReplyId
from shared.kernel.ids import ConversationId, TenantId, new_id
from shared.messaging.port import Claim, Postpone

log = structlog.get_logger()

_SUSPENDED: Final = timedelta(minutes=5)
_TAKEN: Final = timedelta(seconds=1)


class NothingDrafted(Exception):
    """The agent came back with a text in which nothing can be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnLimits:
    """How long a turn may take and how many a customer may have."""

    lease: timedelta = timedelta(seconds=30)
    deadline: timedelta = timedelta(seconds=90)
    turns_per_hour: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnService:
    """Handles ``conversation.turn``."""

    uow: UnitOfWorkFactory
    agent: ShopAgent
    announcements: Announcements
    prompts: PromptCache
    limits: TurnLimits = TurnLimits()
    rng: random.Random = field(default_factory=random.Random)
    new_worker: Callable[[], UUID] = new_id

    async def handle(self, claim: Claim) -> None:
        """Answer one conversation.

        Raises:
            ClaimLost: somebody else has this work.
            Postpone: another worker has the conversation, or no model can answer now.
        """
        lease = await self._take(claim)
        if lease is None:
            return
        async with hold(
            self.uow,
            claim.tenant_id,
            lease,
            for_=self.limits.lease,
            deadline=self.limits.deadline,
        ) as held:
            try:
                await _Run(self, claim, held).answer()
            except Fenced as error:  # the row, if it is still ours, is looked at again soon
                raise Postpone(self._soon()) from error
        await self.announcements.conversation_changed(claim.tenant_id, lease.conversation_id)

    async def give_up(self, uow: UnitOfWork, claim: Claim, code: str) -> None:
        """Hand a conversation to staff because its turn failed too often; the caller commits."""
        conversation = await uow.conversations.find(ConversationId(UUID(claim.key)))
        if conversation is not None and conversation.owner is Owner.AI:
            await hand_over_to_staff(
                uow, conversation, HandOver(reason=code, summary="The AI could not answer.")
            )

    async def _take(self, claim: Claim) -> Lease | None:
        conversation_id = ConversationId(UUID(claim.key))
        async with self.uow(claim.tenant_id) as uow:
            taken = await uow.conversations.take_lease(
                conversation_id, worker=self.new_worker(), for_=self.limits.lease
            )
            if taken is None:  # merged into another, where its messages have a turn of their own
                await finish(uow.tx, claim)
            await uow.commit()
        if isinstance(taken, LeaseTaken):
            raise Postpone(self._soon())
        return taken

    def _soon(self) -> timedelta:
        return _TAKEN * self.rng.uniform(1, 2)


@dataclass(slots=True)
class _Run:
    """One worker's work on one claim."""

    service: TurnService
    claim: Claim
    held: HeldLease

    @property
    def tenant_id(self) -> TenantId:
        return self.claim.tenant_id

    @property
    def lease(self) -> Lease:
        return self.held.lease

    async def answer(self) -> None:
        rejected: Draft | None = None
        while (reading := await self._read(rejected)) is not None:
            rejected = None
            try:
                outcome = await self._think(reading)
            except Fenced:
                continue  # reading again finds out whether the lease or only the owner has changed
            except AgentUnavailable as error:
                await self._defer(error)
                return
            if isinstance(outcome, HandedOver):
                continue
            if await self._commit(reading, outcome):
                return
            rejected = outcome

    async def _read(self, rejected: Draft | None) -> Reading | None:
        """The turn as it stands; ``None``: there is none any more and the claim is finished."""
        conversation_id = self.lease.conversation_id
        cached = await self.service.prompts.get(self.tenant_id, conversation_id)
        async with self.service.uow(self.tenant_id) as uow:
            conversation = await fenced(uow, self.lease)
            turn = await self._turn_to_answer(uow, conversation)
            if turn is None:
                await self._close(uow)
                return None
            open_turn, waiting = turn
            reading = await read_turn(
                uow,
                conversation,
                open_turn,
                waiting,
                lease=self.lease,
                rejected=rejected,
                cached=cached,
                left=self.held.left,
            )
            await uow.commit()
        if reading.remembered is not cached:
            await self.service.prompts.put(self.tenant_id, conversation_id, reading.remembered)
        return reading

    async def _turn_to_answer(
        self, uow: UnitOfWork, conversation: Conversation
    ) -> tuple[OpenTurn, list[Waiting]] | None:
        """The open turn, or a new one, if there is anything for the AI to answer."""
        if conversation.owner is not Owner.AI:
            return None
        waiting = await uow.messages.waiting(conversation.id)
        open_turn = await uow.turns.find_open(conversation.id)
        if not waiting:
            conversation.settle(oldest_waiting=None)
            if open_turn is not None:
                await uow.turns.end(open_turn.id, TurnOutcome.NOTHING_LEFT)
            return None
        tenant = await uow.tenants.get(conversation.tenant_id)
        if not tenant.is_active:
            raise Postpone(_SUSPENDED)
        refusal = await self._refusal(uow, conversation, is_new=open_turn is None)
        if refusal is not None:
            await hand_over_to_staff(uow, conversation, refusal)
            return None
        if open_turn is None:
            open_turn = await uow.turns.begin(
                conversation.id, llm_config_name=tenant.llm_config_name
            )
        return open_turn, waiting

    async def _refusal(
        self, uow: UnitOfWork, conversation: Conversation, *, is_new: bool
    ) -> HandOver | None:
        """Why a person should answer this instead."""
        since = conversation.first_unanswered_at
        if since is not None and await uow.now() - since > TOO_OLD:
            return HandOver(
                reason=conversation.trouble or "too_old",
                summary="The customer has been waiting for more than two hours.",
            )
        if await uow.sends.replies_within(conversation.id, REPLIES_WITHIN) >= REPLIES_IN_A_ROW:
            return HandOver(
                reason="too_many_replies",
                summary="Many replies in a few minutes: perhaps a machine is writing.",
            )
        per_hour = self.service.limits.turns_per_hour
        if (
            is_new
            and await uow.turns.begun_within(conversation.customer_id, timedelta(hours=1))
            >= per_hour
        ):
            return HandOver(
                reason="too_many_turns",
                summary=f"This customer has used up {per_hour} answers within an hour.",
            )
        return None

    async def _close(self, uow: UnitOfWork) -> None:
        await uow.conversations.release_lease(self.lease)
        await finish(uow.tx, self.claim)
        await uow.commit()

    async def _think(self, reading: Reading) -> Draft | HandedOver:
        journal = TurnJournal(
            uow=self.service.uow,
            tenant_id=self.tenant_id,
            turn_id=reading.turn_id,
            lease=self.lease,
            owner_epoch=reading.owner_epoch,
            entries=reading.entries,
            next_step=reading.next_step,
        )
        with bound_contextvars(
            tenant_id=str(self.tenant_id),
            conversation_id=str(self.lease.conversation_id),
            turn_id=str(reading.turn_id),
        ):
            try:
                return await self.held.run(self.service.agent.run(reading.turn, journal))
            except OutOfTime as error:
                raise AgentUnavailable(cause="turn_deadline") from error

    async def _commit(self, reading: Reading, draft: Draft) -> bool:
        """Commit the reply; ``False``: something changed, nothing was written."""
        bubbles = _bubbles(draft)
        async with self.service.uow(self.tenant_id) as uow:
            conversation = await uow.conversations.begin_commit(
                self.lease,
                owner_epoch=reading.owner_epoch,
                inbound_seq=None if reading.last_draft else reading.inbound_seq,
            )
            if conversation is None:
                return False
            if draft.fault is not None and conversation.fail() >= FAILED_TURNS_BEFORE_HAND_OVER:
                await hand_over_to_staff(
                    uow,
                    conversation,
                    HandOver(reason="failed_turns", summary=f"No good answer: {draft.fault}"),
                )
            elif not await self._reply(uow, conversation, reading, draft, bubbles):
                return False
            await finish(uow.tx, self.claim)
            await uow.commit()
        log.info(
            "turn_ended",
            tenant_id=str(self.tenant_id),
            conversation_id=str(self.lease.conversation_id),
            turn_id=str(reading.turn_id),
            fault=draft.fault,
            bubbles=len(bubbles),
            discards=reading.discards,
        )
        return True

    async def _reply(
        self,
        uow: UnitOfWork,
        conversation: Conversation,
        reading: Reading,
        draft: Draft,
        bubbles: list[Bubble],
    ) -> bool:
        """``False``: all that this would answer was revoked."""
        reply_id = ReplyId(new_id())
        if not await uow.messages.settle(
            conversation.id, AnsweredHow.AI, by=reply_id, ids=reading.read
        ):
            return False
        await uow.sends.add(
            conversation,
            bubbles,
            kind=SendKind.AI,
            reply_id=reply_id,
            turn_id=reading.turn_id,
        )
        await uow.turns.end(
            reading.turn_id,
            TurnOutcome.REPLIED,
            reply_id=reply_id,
            prompt_version=draft.prompt_version,
        )
        conversation.settle(oldest_waiting=await uow.messages.first_waiting_since(conversation.id))
        if conversation.first_unanswered_at is not None:
            await uow.tx.enqueue(turn_task(conversation.id))
        conversation.reply(
            turn_id=reading.turn_id,
            reply_id=reply_id,
            bubbles=len(bubbles),
            real=draft.fault is None,
            at=await uow.now(),
        )
        return True

    async def _defer(self, error: AgentUnavailable) -> None:
        """Wait for a model. The customer hears so once per outage, staff see the cause."""
        cause = str(error.data.get("cause", error.code))
        async with self.service.uow(self.tenant_id) as uow:
            conversation = await fenced(uow, self.lease)
            if conversation.owner is not Owner.AI:
                await self._close(uow)
                return
            now = await uow.now()
            if conversation.delay(cause=cause, at=now):
                line = holding_line(await language_for(uow, conversation))
                await uow.sends.add(
                    conversation,
                    [Bubble(body=line)],
                    kind=SendKind.HOLDING,
                    reply_id=ReplyId(new_id()),
                )
            since = conversation.incident_since or now
            await uow.conversations.release_lease(self.lease)
            await uow.commit()
        log.warning(
            "turn_deferred",
            cause=cause,
            tenant_id=str(self.tenant_id),
            conversation_id=str(self.lease.conversation_id),
        )
        await self.service.announcements.conversation_changed(
            self.tenant_id, self.lease.conversation_id
        )
        raise Postpone(
            next_try(incident_since=since, now=now, asked=error.retry_after, rng=self.service.rng)
        )


def _bubbles(draft: Draft) -> list[Bubble]:
    texts = [Bubble(body=body) for body in split_bubbles(to_whatsapp(draft.text))]
    pictures = [Bubble(media={"type": "image", "path": path}) for path in draft.images]
    if not texts and not pictures:
        raise NothingDrafted
    return [*texts, *pictures]
