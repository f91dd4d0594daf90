"""Requests that may be sent twice and are done once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from shared.kernel.errors import Conflict, Invalid
from shared.kernel.ids import TenantId


class KeyReused(Invalid):
    """This Idempotency-Key was used for another request."""

    code = "idempotency_key_reused"


class StillRunning(Conflict):
    """The first request with this Idempotency-Key is still running."""

    code = "request_in_progress"


class OutcomeUnknown(Conflict):
    """The first request with this Idempotency-Key broke off; look whether it had its effect."""

    code = "outcome_unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request that carries a key. ``holder`` is who the key belongs to: a tenant, or for an
    operator the API key itself; ``route`` is the method and the path's template."""

    holder: UUID
    tenant_id: TenantId | None
    route: str
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


class IdempotencyStore(Protocol):
    """Keys live for a day."""

    async def begin(self, attempt: Attempt) -> Answer | None:
        """Take the key for this attempt; the earlier answer if there was one.

        Raises:
            KeyReused: its first request was another one.
            StillRunning: its first request has not ended.
            OutcomeUnknown: nor will it: it began more than a minute ago.
        """
        ...

    async def finish(self, attempt: Attempt, answer: Answer) -> None:
        """Keep the answer for whoever asks again."""
        ...

    async def forget(self, attempt: Attempt) -> None:
        """It failed for our own reasons: the same key may try again."""
        ...
