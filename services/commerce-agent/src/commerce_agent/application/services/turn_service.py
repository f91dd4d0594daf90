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

from commerce_agent.application.ports.announcements import Announcements
from commerce_agent.application.ports.prompt_cache import PromptCache
from commerce_agent.application.ports.shop_agent import Fenced, ShopAgent
from commerce_agent.application.services.hand_over import hand_over_to_staff
from commerce_agent.application.services.lease_keeper import HeldLease, hold
from commerce_agent.application.services.turn_limits import TurnLimits
from commerce_agent.application.services.turn_reader import ConversationTaken, TurnReader
from commerce_agent.application.services.turn_reading import Reading
from commerce_agent.application.services.turn_run import TurnRun
from commerce_agent.application.unit_of_work import UnitOfWork, UnitOfWorkFactory
from commerce_agent.domain.entities.conversation import HandOver
from commerce_agent.domain.repositories.conversation_repository import Lease
from commerce_agent.domain.value_objects.conversation_state import Owner
from shared.kernel.ids import ConversationId, new_id
from shared.messaging.port import Claim, Postpone

_TAKEN: Final = timedelta(seconds=1)
"""Least wait for a conversation that another worker has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnService:
    """Handles ``conversation.turn``."""

    uow: UnitOfWorkFactory
    agent: ShopAgent
    announcements: Announcements
    prompts: PromptCache
    limits: TurnLimits = field(default_factory=TurnLimits)
    rng: random.Random = field(default_factory=random.Random)
    new_worker: Callable[[], UUID] = new_id

    async def handle(self, claim: Claim) -> None:
        """Answer one conversation.

        Raises:
            ClaimLost: somebody else has this work.
            Postpone: another worker has the conversation, or no model can answer now.
        """
        reader = TurnReader(uow=self.uow, prompts=self.prompts, limits=self.limits, claim=claim)
        try:
            taken = await reader.take(self.new_worker())
        except ConversationTaken as error:
            raise Postpone(self._soon()) from error
        if taken is not None:
            await self._hold(claim, reader, *taken)
        conversation_id = ConversationId(UUID(claim.key))
        await self.announcements.conversation_changed(claim.tenant_id, conversation_id)

    async def _hold(self, claim: Claim, reader: TurnReader, lease: Lease, reading: Reading) -> None:
        async with hold(
            self.uow,
            claim.tenant_id,
            lease,
            for_=self.limits.lease,
            deadline=self.limits.deadline,
        ) as held:
            try:
                await self._run(claim, reader, held).answer(reading)
            except Fenced as error:  # the row, if it is still ours, is looked at again soon
                raise Postpone(self._soon()) from error

    def _run(self, claim: Claim, reader: TurnReader, held: HeldLease) -> TurnRun:
        return TurnRun(
            uow=self.uow,
            agent=self.agent,
            announcements=self.announcements,
            reader=reader,
            rng=self.rng,
            claim=claim,
            held=held,
        )

    async def give_up(self, uow: UnitOfWork, claim: Claim, code: str) -> None:
        """Hand a conversation to staff because its turn failed too often; the caller commits."""
        conversation = await uow.conversations.find(ConversationId(UUID(claim.key)))
        if conversation is not None and conversation.owner is Owner.AI:
            await hand_over_to_staff(
                uow, conversation, HandOver(reason=code, summary="The AI could not answer.")
            )

    def _soon(self) -> timedelta:
        return _TAKEN * self.rng.uniform(1, 2)
