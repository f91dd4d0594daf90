"""Turns and their journals."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from commerce_agent.application.ports.shop_agent import Handle, JournalStep, Spoken
from commerce_agent.domain.value_objects.ids import CustomerId, ReplyId, TurnId
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
    """Turns of one tenant. Callers hold the conversation's lock."""

    async def find_open(self, conversation_id: ConversationId) -> OpenTurn | None: ...

    async def begin(self, conversation_id: ConversationId, *, llm_config_name: str) -> OpenTurn: ...

    async def entries(self, turn_id: TurnId) -> list[Entry]:
        """The journal, in order."""
        ...

    async def append(self, turn_id: TurnId, entry: Entry, *, lease_epoch: int) -> None: ...

    async def find_result(self, turn_id: TurnId, *, step: int, call: int) -> str | None:
        """What a tool said here before."""
        ...

    async def note_usage(self, turn_id: TurnId, answer: Spoken) -> None:
        """Add an answer's model and tokens to the turn's sums."""
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

    async def begun_within(self, customer_id: CustomerId, within: timedelta) -> int:
        """How many turns this customer had in this time, over all channels."""
        ...

    async def handles(self, conversation_id: ConversationId) -> tuple[Handle, ...]:
        """What was shown in this conversation, oldest first."""
        ...

    async def show(self, conversation_id: ConversationId, handles: Sequence[Handle]) -> None:
        """Remember what was shown; a code that is known keeps its meaning."""
        ...
