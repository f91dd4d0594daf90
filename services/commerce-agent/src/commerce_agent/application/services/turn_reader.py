"""Reading a turn: taking the conversation, seeing what there is to answer, or closing the claim."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from commerce_agent.application.ports.prompt_cache import PromptCache, Remembered
from commerce_agent.application.ports.shop_agent import Draft
from commerce_agent.application.ports.turn_scene import Scene
from commerce_agent.application.ports.turn_store import TurnOutcome
from commerce_agent.application.services.hand_over import hand_over_to_staff
from commerce_agent.application.services.turn_journal import fenced
from commerce_agent.application.services.turn_limits import TurnLimits
from commerce_agent.application.services.turn_reading import HISTORY, Reading, read_turn
from commerce_agent.application.unit_of_work import UnitOfWork, UnitOfWorkFactory
from commerce_agent.domain.entities.conversation import Conversation
from commerce_agent.domain.repositories.conversation_repository import Lease, LeaseTaken
from commerce_agent.domain.value_objects.conversation_state import Owner
from shared.kernel.ids import ConversationId
from shared.messaging.port import Claim, Postpone

_SUSPENDED: Final = timedelta(minutes=5)
"""How long the turns of a suspended shop wait before they look again."""


class ConversationTaken(Exception):
    """Another worker holds the conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnReader:
    """Reads the turn of one claim. Without anything to answer it finishes the claim."""

    uow: UnitOfWorkFactory
    prompts: PromptCache
    limits: TurnLimits
    claim: Claim

    async def take(self, worker: UUID) -> tuple[Lease, Reading] | None:
        """Take the conversation and read, in one transaction; ``None``: the claim is finished.

        Raises:
            ConversationTaken: another worker has it.
            ClaimLost: somebody else has finished this work.
            Postpone: the shop is suspended.
        """
        conversation_id = ConversationId(UUID(self.claim.key))
        cached = await self.prompts.get(self.claim.tenant_id, conversation_id)
        async with self.uow(self.claim.tenant_id) as uow:
            lease = await uow.conversations.take_lease(
                conversation_id, worker=worker, for_=self.limits.lease
            )
            if isinstance(lease, LeaseTaken):
                raise ConversationTaken
            if lease is None:  # merged into another, where its messages have a turn of their own
                uow.tx.finish_with_commit(self.claim)
                await uow.commit()
                return None
            reading = await self._read(uow, lease, cached, left=self.limits.deadline)
        await self._remember(conversation_id, reading, cached)
        return None if reading is None else (lease, reading)

    async def again(
        self, lease: Lease, *, rejected: Draft | None, left: timedelta
    ) -> Reading | None:
        """The turn as it stands now; ``None``: there is none any more and the claim is finished.

        ``rejected`` is a draft that did not commit; ``left`` is the rest of the turn's time.

        Raises:
            Fenced: another worker has the conversation.
            ClaimLost: somebody else has finished this work.
        """
        cached = await self.prompts.get(self.claim.tenant_id, lease.conversation_id)
        async with self.uow(self.claim.tenant_id) as uow:
            reading = await self._read(uow, lease, cached, left=left, rejected=rejected)
        await self._remember(lease.conversation_id, reading, cached)
        return reading

    async def _read(
        self,
        uow: UnitOfWork,
        lease: Lease,
        cached: Remembered | None,
        *,
        left: timedelta,
        rejected: Draft | None = None,
    ) -> Reading | None:
        conversation = await fenced(uow, lease)
        scene = None
        if conversation.owner is Owner.AI:
            stamp = cached.stamp if cached else None
            scene = await uow.scenes.read(conversation, known_stamp=stamp, history=HISTORY)
        if scene is None or not await self._is_to_answer(uow, conversation, scene):
            await self.close(uow, lease)
            return None
        reading = await read_turn(
            uow, conversation, scene, lease=lease, rejected=rejected, cached=cached, left=left
        )
        await uow.commit()
        return reading

    async def _is_to_answer(
        self, uow: UnitOfWork, conversation: Conversation, scene: Scene
    ) -> bool:
        """Whether there is anything for the AI to answer."""
        if not scene.waiting:
            conversation.settle(oldest_waiting=None)
            if scene.open_turn is not None:
                await uow.turns.end(scene.open_turn.id, TurnOutcome.NOTHING_LEFT)
            return False
        if not scene.tenant.is_active:
            raise Postpone(_SUSPENDED)
        refusal = self.limits.refusal(conversation, scene)
        if refusal is not None:
            await hand_over_to_staff(uow, conversation, refusal)
        return refusal is None

    async def close(self, uow: UnitOfWork, lease: Lease) -> None:
        """Give the conversation back and finish the claim."""
        await uow.conversations.release_lease(lease)
        uow.tx.finish_with_commit(self.claim)
        await uow.commit()

    async def _remember(
        self,
        conversation_id: ConversationId,
        reading: Reading | None,
        cached: Remembered | None,
    ) -> None:
        if reading is not None and reading.remembered is not cached:
            await self.prompts.put(self.claim.tenant_id, conversation_id, reading.remembered)
