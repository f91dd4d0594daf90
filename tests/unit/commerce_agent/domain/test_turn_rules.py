"""When a turn runs, what it may answer, how long it waits."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from commerce_agent.domain.services.turn_rules import BufferRule, is_recovered, next_try

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
RULE = BufferRule(quiet=timedelta(seconds=2), longest=timedelta(seconds=10))


@pytest.mark.parametrize(("waited", "due_in"), [(0, 2), (3, 2), (8, 2), (9, 1), (10, 0), (15, -5)])
def test_bubbles_wait_for_quiet_but_no_longer_than_the_longest(waited: int, due_in: int) -> None:
    due = RULE.due(now=NOW, first_unanswered_at=NOW - timedelta(seconds=waited))
    assert due == NOW + timedelta(seconds=due_in)


@pytest.mark.parametrize(
    ("age", "from_history", "recovered"),
    [
        (timedelta(hours=2), False, False),
        (timedelta(hours=2, seconds=1), False, True),
        (timedelta(0), True, True),
        (timedelta(hours=-1), False, False),
    ],
)
def test_old_and_history_messages_are_only_kept(
    age: timedelta, from_history: bool, recovered: bool
) -> None:
    assert is_recovered(sent_at=NOW - age, now=NOW, from_history=from_history) is recovered


@pytest.mark.parametrize(
    ("outage", "asked", "least", "most"),
    [
        (0, None, 5, 7.5),
        (60, None, 30, 45),
        (3600, None, 120, 180),
        (0, 100, 100, 150),
        (0, 99999, 600, 900),
        (0, -5, 5, 7.5),
    ],
)
def test_the_wait_for_a_model_grows_with_the_outage_and_obeys_the_provider(
    outage: int, asked: int | None, least: float, most: float
) -> None:
    waits = [
        next_try(
            incident_since=NOW - timedelta(seconds=outage),
            now=NOW,
            asked=None if asked is None else timedelta(seconds=asked),
            rng=random.Random(seed),
        ).total_seconds()
        for seed in range(50)
    ]
    assert least <= min(waits)
    assert max(waits) <= most
    assert max(waits) - min(waits) > 0.3 * least
