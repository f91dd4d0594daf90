"""What follows when a job's run has failed: another try, and when, or the end."""

import random
from dataclasses import dataclass
from datetime import timedelta

from shared.kernel.errors import DomainError, TooMany, Unavailable
from shared.messaging.delays import RUNGS, rung

_SPREAD = 0.5
"""Jobs that failed together come back over this share of their delay more, not at once."""
_LEAST_WAIT = RUNGS[1]
"""Where a wait is told: shorter ones were already waited for within the call, and thousands of jobs
must not come back every second while one of them tries whether the provider is there again."""
_HOPELESS = frozenset({"model_key_invalid", "model_quota_spent"})
"""What opens a breaker and does not get better by waiting."""


@dataclass(frozen=True, slots=True)
class TryAgain:
    delay: timedelta
    """At least a rung of the ladder of delays, and what the provider asked for."""
    counted: bool
    """Whether it is one of the job's ``max_retries``; waiting is not."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    code: str
    error: str
    """A sentence."""


def after_failure(
    error: DomainError,
    *,
    called: bool,
    retry_count: int,
    max_retries: int,
    left: timedelta,
    rng: random.Random,
) -> TryAgain | GiveUp:
    """Decide by the kind of error.

    Only what is unavailable is tried again, and not where a key is refused. Where nothing was
    ``called`` (a breaker is open), and where the provider said how long to wait, the job waits and
    no retry is counted; what bounds it then is the deadline, until which ``left`` remains.
    Otherwise the delay is the next rung for each retry.
    """
    if not isinstance(error, Unavailable | TooMany):
        return GiveUp(error.code, error.detail)
    cause = error.data.get("cause")
    if cause in _HOPELESS:
        return GiveUp(cause, error.detail)
    if left <= timedelta(0):
        return GiveUp("job_deadline_exceeded", f"The deadline passed. {error.detail}")
    told = error.retry_after
    counted = called and told is None
    if counted and retry_count >= max_retries:
        return GiveUp(error.code, f"{error.detail} (after {retry_count} retries)")
    least = RUNGS[min(retry_count, len(RUNGS) - 1)]
    if told is not None:
        least = max(told, rung(told), _LEAST_WAIT)
    if least >= left:
        return GiveUp(error.code, f"{error.detail} (the deadline leaves no time for another try)")
    return TryAgain(least + min(least * _SPREAD, (left - least) / 2) * rng.random(), counted)
