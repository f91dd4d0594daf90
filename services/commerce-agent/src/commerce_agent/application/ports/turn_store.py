"""Turns and their journals."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from commerce_agent.application.ports.shop_agent import Handle, JournalStep
from commerce_agent.domain.repositories.conversation_repository import Lease
from commerce_agent.domain.value_objects.ids import ReplyId, TurnId
from shared.kernel.ids import ConversationId


class TurnOutcome(StrEnum):
    """How a turn ended."""

    REPLIED = "replied"
    HANDED_OVER = "handed_over"
    ANSWERED_BY_PERSON = "answered_by_person"
    NOTHING_LEFT = "nothing_left"
    """All it had read was revoked or answered otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTurn:
    """A turn that goes on."""

    id: TurnId
    discards: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A step in its place; (turn, step, call) is the key of a tool's effect."""

    step: int
    call: int
    body: JournalStep


class TurnStore(Protocol):
    """Turns of one tenant. Callers hold the conversation's lock, unless a method takes it."""

    async def begin(
        self,
        conversation_id: ConversationId,
        *,
        llm_config_name: str,
        entries: Sequence[Entry],
        lease_epoch: int,
    ) -> OpenTurn:
        """A new turn with the beginning of its journal."""
        ...

    async def entries(self, turn_id: TurnId) -> list[Entry]:
        """The journal, in order."""
        ...

    async def append(
        self, turn_id: TurnId, entries: Sequence[Entry], *, lease_epoch: int
    ) -> None: ...

    async def keep(self, turn_id: TurnId, entry: Entry, lease: Lease) -> bool:
        """Lock the conversation, and append if the lease still holds it; ``False``: it does not,
        and nothing was written.

        What a step says of the turn goes with it: an answer's model and tokens are added to the
        turn's sums, a result's state becomes the conversation's and its handles are shown.
        """
        ...

    async def find_result(self, turn_id: TurnId, *, step: int, call: int) -> str | None:
        """What a tool said here before."""
        ...

    async def count_discard(self, turn_id: TurnId) -> None: ...

    async def end(
        self,
        turn_id: TurnId,
        outcome: TurnOutcome,
        *,
        reply_id: ReplyId | None = None,
        prompt_version: str | None = None,
    ) -> None: ...

    async def end_open(self, conversation_id: ConversationId, outcome: TurnOutcome) -> None:
        """End the open turn, if there is one."""
        ...

    async def show(self, conversation_id: ConversationId, handles: Sequence[Handle]) -> None:
        """Remember what was shown; a code that is known keeps its meaning."""
        ...
