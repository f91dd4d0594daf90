"""What is processed, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.kernel.ids import TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call to a model that was begun, and which agent made it; the router counts as one."""

    agent: str
    config_name: str
    model: str
    started_at: datetime
    milliseconds: int
    tokens_in: int
    tokens_out: int
    """Both 0 where no answer came: what a provider counts then, it tells nobody."""
    cost_nanos: int
    """Billionths of a US dollar."""
    outcome: str
    """``ok``, ``cancelled``, or the code of the error."""
    error: str | None


@dataclass(slots=True)
class RunRecord:
    """What a run has done so far; it is filled while it runs and outlives its failure."""

    attempts: list[Attempt] = field(default_factory=list)
    moderation: Mapping[str, Any] | None = None
    template_version: int | None = None
    """Of the template under which the answer was given, or was asked for last."""

    @property
    def tokens_in(self) -> int:
        return sum(attempt.tokens_in for attempt in self.attempts)

    @property
    def tokens_out(self) -> int:
        return sum(attempt.tokens_out for attempt in self.attempts)

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    @property
    def cost_nanos(self) -> int:
        return sum(attempt.cost_nanos for attempt in self.attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingRequest:
    """A prompt and how it is to be answered."""

    tenant_id: TenantId
    prompt: str = field(repr=False)
    config_name: str
    template_name: str
    variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    retry_count: int = 0
    deadline: timedelta
    """Time that is left for all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingResult:
    text: str = field(repr=False)
    tokens: int
    agent_type: str
    """Who really answered: main, fallback or followup."""
