"""One worker's run of one conversation's turn, between taking the lease and giving it back."""

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from commerce_agent.application.ports.announcements import Announcements
from commerce_agent.application.ports.message_store import Waiting
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
from commerce_agent.application.services.lease_keeper import HeldLease, OutOfTime
from commerce_agent.application.services.turn_journal import TurnJournal, fenced
from commerce_agent.application.services.turn_limits import TurnLimits
from commerce_agent.application.services.turn_reading import Reading, read_turn
from commerce_agent.application.services.turn_reply import commit_reply
from commerce_agent.application.services.turn_tasks import finish
from commerce_agent.application.unit_of_work import UnitOfWork, UnitOfWorkFactory
from commerce_agent.domain.entities.conversation import Conversation
from commerce_agent.domain.repositories.conversation_repository import Lease
from commerce_agent.domain.services.customer_notices import holding_line
from commerce_agent.domain.services.turn_rules import next_try
from commerce_agent.domain.value_objects.conversation_state import Owner
from commerce_agent.domain.value_objects.ids import ReplyId
from shared.kernel.ids import TenantId, new_id
from shared.messaging.port import Claim, Postpone

log = structlog.get_logger()

_SUSPENDED: Final = timedelta(minutes=5)
"""How long the turns of a suspended shop wait before they look again."""


@dataclass(slots=True)
class TurnRun:
    """One worker's work on one claim."""

    uow: UnitOfWorkFactory
    agent: ShopAgent
    announcements: Announcements
    prompts: PromptCache
    limits: TurnLimits
    rng: random.Random
    claim: Claim
    held: HeldLease

    @property
    def tenant_id(self) -> TenantId:
        return self.claim.tenant_id

    @property
    def lease(self) -> Lease:
        return self.held.lease

    async def answer(self) -> None:
        """Read, think, commit; again if something changed meanwhile.

        Raises:
            Fenced: another worker has the conversation.
            ClaimLost: somebody else has finished this work.
            Postpone: no model can answer now.
        """
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
        cached = await self.prompts.get(self.tenant_id, conversation_id)
        async with self.uow(self.tenant_id) as uow:
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
            await self.prompts.put(self.tenant_id, conversation_id, reading.remembered)
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
        refusal = await self.limits.refusal(uow, conversation, is_new=open_turn is None)
        if refusal is not None:
            await hand_over_to_staff(uow, conversation, refusal)
            return None
        if open_turn is None:
            open_turn = await uow.turns.begin(
                conversation.id, llm_config_name=tenant.llm_config_name
            )
        return open_turn, waiting

    async def _close(self, uow: UnitOfWork) -> None:
        await uow.conversations.release_lease(self.lease)
        await finish(uow.tx, self.claim)
        await uow.commit()

    async def _think(self, reading: Reading) -> Draft | HandedOver:
        journal = TurnJournal(
            uow=self.uow,
            tenant_id=self.tenant_id,
            turn_id=reading.turn_id,
            lease=self.lease,
            owner_epoch=reading.owner_epoch,
            entries=reading.entries,
            next_step=reading.next_step,
        )
        with bound_contextvars(**self._ids(reading)):
            try:
                return await self.held.run(self.agent.run(reading.turn, journal))
            except OutOfTime as error:
                raise AgentUnavailable(cause="turn_deadline") from error

    async def _commit(self, reading: Reading, draft: Draft) -> bool:
        async with self.uow(self.tenant_id) as uow:
            committed = await commit_reply(uow, reading, draft, lease=self.lease, claim=self.claim)
        if committed:
            log.info(
                "turn_ended", fault=draft.fault, discards=reading.discards, **self._ids(reading)
            )
        return committed

    def _ids(self, reading: Reading) -> dict[str, str]:
        return {
            "tenant_id": str(self.tenant_id),
            "conversation_id": str(self.lease.conversation_id),
            "turn_id": str(reading.turn_id),
        }

    async def _defer(self, error: AgentUnavailable) -> None:
        """Wait for a model. The customer hears so once per outage, staff see the cause."""
        cause = str(error.data.get("cause", error.code))
        async with self.uow(self.tenant_id) as uow:
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
        await self.announcements.conversation_changed(self.tenant_id, self.lease.conversation_id)
        raise Postpone(
            next_try(incident_since=since, now=now, asked=error.retry_after, rng=self.rng)
        )
