"""Which kind of work goes where, and what follows when it is given up."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final, TypeAlias

from commerce_agent.application.handlers.wa_message_handler import WAMessageHandler
from commerce_agent.application.services.callback_service import CallbackService
from commerce_agent.application.services.gap_repair import GapRepairService
from commerce_agent.application.services.repair_tasks import REPAIR_TASK
from commerce_agent.application.services.turn_service import TurnService
from commerce_agent.application.services.turn_tasks import TURN_TASK
from commerce_agent.application.unit_of_work import UnitOfWork
from shared.jobs import CALLBACK
from shared.messaging.port import Claim, GiveUp, Route
from shared.persistence.unit_of_work import Transaction

INBOX_TASK: Final = "inbox.waha"
_TURN_DEADLINE: Final = timedelta(minutes=3)
"""Longer than any turn: its own deadline comes first and defers, this one only ends a hang."""

Join: TypeAlias = Callable[[Transaction], UnitOfWork]
"""Opens the repositories inside a transaction that somebody else commits."""
_GiveUp: TypeAlias = Callable[[UnitOfWork, Claim, str], Awaitable[None]]


def task_routes(
    *,
    messages: WAMessageHandler,
    turns: TurnService,
    repair: GapRepairService,
    callbacks: CallbackService,
    join: Join,
) -> Mapping[str, Route]:
    """The commerce agent's handlers, by kind of work."""
    return {
        INBOX_TASK: Route(handle=messages.handle, give_up=_joined(join, messages.give_up)),
        TURN_TASK: Route(
            handle=turns.handle, give_up=_joined(join, turns.give_up), deadline=_TURN_DEADLINE
        ),
        REPAIR_TASK: Route(handle=repair.handle),
        CALLBACK: Route(handle=callbacks.handle, give_up=callbacks.desk.give_up),
    }


def _joined(join: Join, step: _GiveUp) -> GiveUp:
    async def give_up(tx: Transaction, claim: Claim, code: str) -> None:
        uow = join(tx)
        await step(uow, claim, code)
        await uow.flush()

    return give_up
