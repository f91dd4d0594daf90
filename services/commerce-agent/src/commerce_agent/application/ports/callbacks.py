"""What tells receivers that a job has ended, and what remembers how that went."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from shared.messaging.port import Claim
from shared.persistence.unit_of_work import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """One attempt, kept before it is made."""

    id: UUID
    """The receiver's ``webhook-id``: the same in every attempt."""
    job_id: UUID
    url: str
    number: int
    """Of the attempt, from 1."""
    round: int
    """Rises when somebody wants it sent again."""
    failures: int
    """Earlier ones of this round."""
    timestamp: int
    """Of the attempt, in seconds since 1970."""
    body: bytes = field(repr=False)
    secrets: Sequence[str] = field(repr=False)
    """What it is signed with: the present one, and during a rotation the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came of an attempt."""

    milliseconds: int = 0
    status: int | None = None
    """``None``: nobody answered."""
    error: str | None = None
    """Why it is no success, in a sentence."""
    final: bool = False
    """Trying again is useless."""
    retry_after: timedelta | None = None


class CallbackDesk(Protocol):
    """Both moments are a transaction of their own; the call lies between them."""

    async def begin(self, claim: Claim, job_id: UUID) -> Callback | None:
        """Keep that an attempt begins. ``None``: there is nothing to tell, and the claim is done.

        Raises:
            ClaimLost: somebody else has it.
        """
        ...

    async def settle(
        self, claim: Claim, callback: Callback, answered: Answered, *, again: timedelta | None
    ) -> None:
        """Keep how the attempt ended and finish the claim; with ``again`` plan the next one.

        When the delivery was replayed meanwhile, the attempt is kept and the replay stands.

        Raises:
            ClaimLost: somebody else has it; nothing is kept.
        """
        ...

    @staticmethod
    async def give_up(tx: Transaction, claim: Claim, code: str) -> None:
        """The work becomes a dead letter: the delivery has failed."""
        ...


class CallbackSender(Protocol):
    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        """Post once, to public addresses only. Whatever comes of it is an answer, never raised."""
        ...
