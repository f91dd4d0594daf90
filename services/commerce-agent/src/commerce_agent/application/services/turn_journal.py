"""The journal of a running turn: its only memory, written step by step, fenced."""

from collections.abc import Sequence
from dataclasses import dataclass

from commerce_agent.application.ports.shop_agent import (
    Checked,
    EffectKey,
    Fenced,
    JournalStep,
    Spoken,
    ToolDone,
    ToolRequest,
)
from commerce_agent.application.ports.turn_store import Entry
from commerce_agent.application.unit_of_work import UnitOfWork, UnitOfWorkFactory
from commerce_agent.domain.entities.conversation import Conversation
from commerce_agent.domain.repositories.conversation_repository import Lease
from commerce_agent.domain.value_objects.ids import TurnId
from shared.kernel.ids import TenantId


async def fenced(uow: UnitOfWork, lease: Lease) -> Conversation:
    """Lock the conversation and make sure that we still hold it.

    Raises:
        Fenced: another worker took it, or it was merged into another.
    """
    conversation = await uow.conversations.find(lease.conversation_id)
    if conversation is None or conversation.lease_epoch != lease.epoch:
        raise Fenced
    return conversation


def step_after(entries: Sequence[Entry]) -> int:
    """The number of the next step. The one after an answer with tool calls belongs to their
    results, whenever they come: it is part of the effects' keys."""
    last = max(entries, key=lambda entry: entry.step, default=None)
    if last is None:
        return 0
    asked = isinstance(last.body, Spoken) and bool(last.body.tool_calls)
    return last.step + (2 if asked else 1)


@dataclass(slots=True)
class TurnJournal:
    """Implements `Journal` for one worker's run of one turn."""

    uow: UnitOfWorkFactory
    tenant_id: TenantId
    turn_id: TurnId
    lease: Lease
    owner_epoch: int
    entries: list[Entry]
    """What the agent may see, in order."""
    next_step: int

    @property
    def steps(self) -> Sequence[JournalStep]:
        return tuple(entry.body for entry in self.entries)

    async def spoken(self, answer: Spoken) -> None:
        await self._write(Entry(step=self.next_step, call=0, body=answer))

    async def tool_done(self, done: ToolDone, *, call: int) -> None:
        await self._write(Entry(step=self._tool_step, call=call, body=done))

    def effect(self, request: ToolRequest, *, call: int) -> EffectKey:
        return EffectKey(
            tenant_id=self.tenant_id,
            conversation_id=self.lease.conversation_id,
            turn_id=self.turn_id,
            step=self._tool_step,
            call=call,
            lease_epoch=self.lease.epoch,
            owner_epoch=self.owner_epoch,
            request=request,
        )

    async def adopt(self, done: ToolDone, *, call: int) -> None:
        self._remember(Entry(step=self._tool_step, call=call, body=done))

    async def checked(self, refused: Checked) -> None:
        await self._write(Entry(step=self.next_step, call=0, body=refused))

    @property
    def _tool_step(self) -> int:
        """All calls of one answer share a step, the one after it, so that a worker who resumes
        finds the same key for the same call."""
        spoken = (e.step + 1 for e in reversed(self.entries) if isinstance(e.body, Spoken))
        return next(spoken, self.next_step)

    async def _write(self, entry: Entry) -> None:
        async with self.uow(self.tenant_id) as uow:
            if not await uow.turns.keep(self.turn_id, entry, self.lease):
                raise Fenced
            await uow.commit()
        self._remember(entry)

    def _remember(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.next_step = max(self.next_step, step_after([entry]))
