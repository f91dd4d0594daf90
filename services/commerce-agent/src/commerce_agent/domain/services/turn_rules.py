"""The rules of when a turn runs, what it may still answer and how long it waits."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

MAX_DISCARDS: Final = 2
"""Drafts that one turn may throw away because the customer went on talking."""

FAILED_TURNS_BEFORE_HAND_OVER: Final = 3

TOO_OLD: Final = timedelta(hours=2)
"""Older messages are a person's to answer: by then a guess would surprise."""

REPLIES_IN_A_ROW: Final = 12
REPLIES_WITHIN: Final = timedelta(minutes=10)
"""More AI replies than this in this time: two machines are talking."""

ECHO_MEMORY: Final = timedelta(minutes=10)
"""For so long the echo of a send that was ``unknown`` is not taken for staff typing."""

_FIRST_WAIT: Final = timedelta(seconds=5)
_LONGEST_WAIT: Final = timedelta(minutes=2)
_LONGEST_ASKED: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferRule:
    """How long bubbles are collected before the AI answers."""

    quiet: timedelta
    longest: timedelta

    def due(self, *, now: datetime, first_unanswered_at: datetime) -> datetime:
        """After a quiet moment, but no later than ``longest`` after the first bubble."""
        return min(now + self.quiet, first_unanswered_at + self.longest)


def is_recovered(*, sent_at: datetime, now: datetime, from_history: bool) -> bool:
    """Whether a message is only kept: from a phone's history, or too old to be answered unasked."""
    return from_history or now - sent_at > TOO_OLD


def next_try(
    *, incident_since: datetime, now: datetime, asked: timedelta | None, rng: random.Random
) -> timedelta:
    """How long a turn waits for a model: half of what the outage has lasted, with jitter, but at
    least as long as the provider asked for (up to ten minutes)."""
    wait = min(max((now - incident_since) / 2, _FIRST_WAIT), _LONGEST_WAIT)
    if asked is not None:
        wait = max(wait, min(asked, _LONGEST_ASKED))
    return wait * rng.uniform(1.0, 1.5)
