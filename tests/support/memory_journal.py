"""A turn's journal in memory, with the promises of the real one and a way to lose it half-way."""

from collections.abc import Iterable, Sequence

from commerce_agent.application.ports.shop_agent import (
    Checked,
    EffectKey,
    Fenced,
    JournalStep,
    Spoken,
    ToolDone,
    ToolRequest,
    Turn,
)


class WorkerDied(BaseException):
    """The process ended here; what was journaled stays."""


class MemoryJournal:
    """Implements `Journal`.

    ``dies_after`` ends the worker (`WorkerDied`) right after that many steps were written in this
    run; ``is_fenced`` makes every further write raise `Fenced`.
    """

    def __init__(
        self, turn: Turn, steps: Iterable[JournalStep] = (), *, dies_after: int | None = None
    ) -> None:
        self.turn = turn
        self.is_fenced = False
        self.effects: list[EffectKey] = []
        self._steps = list(steps)
        self._dies_after = dies_after

    @property
    def steps(self) -> Sequence[JournalStep]:
        return tuple(self._steps)

    def hear(self, *steps: JournalStep) -> None:
        """What the turn engine puts in: `Heard` and `Discarded`."""
        self._steps.extend(steps)

    async def spoken(self, answer: Spoken) -> None:
        self._write(answer)

    async def tool_done(self, done: ToolDone, *, call: int) -> None:
        self._write(done)

    def effect(self, request: ToolRequest, *, call: int) -> EffectKey:
        spoken = max(n for n, step in enumerate(self._steps) if isinstance(step, Spoken))
        key = EffectKey(
            tenant_id=self.turn.tenant_id,
            conversation_id=self.turn.conversation_id,
            turn_id=self.turn.id,
            step=spoken + 1,
            call=call,
            lease_epoch=self.turn.lease_epoch,
            owner_epoch=self.turn.owner_epoch,
            request=request,
        )
        self.effects.append(key)
        return key

    async def adopt(self, done: ToolDone, *, call: int) -> None:
        self._write(done)

    async def checked(self, refused: Checked) -> None:
        self._write(refused)

    def _write(self, step: JournalStep) -> None:
        if self.is_fenced:
            raise Fenced
        self._steps.append(step)
        if self._dies_after is not None:
            self._dies_after -= 1
            if self._dies_after <= 0:
                raise WorkerDied
