"""One worker's run of one conversation's turn, between taking the lease and giving it back."""

import random
from dataclasses import dataclass

import structlog
from structlog.contextvars import bound_contextvars

from commerce_agent.application.ports.announcements import Announcements
from commerce_agent.application.ports.send_store import Bubble, SendKind
from commerce_agent.application.ports.shop_agent import (
    AgentUnavailable,
    Draft,
    Fenced,
    HandedOver,
    ShopAgent,
)
from commerce_agent.application.services.hand_over import language_for
from commerce_agent.application.services.lease_keeper import HeldLease, OutOfTime
from commerce_agent.application.services.turn_journal import TurnJournal, fenced
from commerce_agent.application.services.turn_reader import TurnReader
from commerce_agent.application.services.turn_reading import Reading
from commerce_agent.application.services.turn_reply import commit_reply
from commerce_agent.application.unit_of_work import UnitOfWorkFactory
from commerce_agent.domain.repositories.conversation_repository import Lease
from commerce_agent.domain.services.customer_notices import holding_line
from commerce_agent.domain.services.turn_rules import next_try
from commerce_agent.domain.value_objects.conversation_state import Owner
from commerce_agent.domain.value_objects.ids import ReplyId
from shared.kernel.ids import TenantId, new_id
from shared.messaging.port import Claim, Postpone

log = structlog.get_logger()


@dataclass(slots=True)
class TurnRun:
    """One worker's work on one claim."""

    uow: UnitOfWorkFactory
    agent: ShopAgent
    announcements: Announcements
    reader: TurnReader
    rng: random.Random
    claim: Claim
    held: HeldLease

    @property
    def tenant_id(self) -> TenantId:
        return self.claim.tenant_id

    @property
    def lease(self) -> Lease:
        return self.held.lease

    async def answer(self, first: Reading) -> None:
        """Think and commit; read and do it again if something changed meanwhile.

        Raises:
            Fenced: another worker has the conversation.
            ClaimLost: somebody else has finished this work.
            Postpone: no model can answer now.
        """
        reading: Reading | None = first
        while reading is not None:
            rejected: Draft | None = None
            try:
                outcome = await self._think(reading)
            except Fenced:
                pass  # reading again finds out whether the lease or only the owner has changed
            except AgentUnavailable as error:
                await self._defer(error)
                return
            else:
                if isinstance(outcome, Draft):
                    if await self._commit(reading, outcome):
                        return
                    rejected = outcome
            reading = await self.reader.again(self.lease, rejected=rejected, left=self.held.left)
        self.held.given_back = True

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
            self.held.given_back = True
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
                await self.reader.close(uow, self.lease)
                self.held.given_back = True
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
        self.held.given_back = True
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
