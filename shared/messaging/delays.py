"""The ladder of delays: five fixed steps, so that a broker never sees more than five delay queues
beside each work queue, whatever delays are asked for."""

from datetime import timedelta

RUNGS = tuple(timedelta(seconds=seconds) for seconds in (1, 5, 30, 120, 300))


def rung(delay: timedelta) -> timedelta:
    """The delay rounded up to a rung; beyond the last one it stays the last."""
    return next((step for step in RUNGS if delay <= step), RUNGS[-1])
