"""Where a job stands, and where it may go from there."""

from collections.abc import Mapping
from enum import StrEnum


class JobStatus(StrEnum):
    """A job's states; the value is what the database, REST and the guide say."""

    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    RETRYING = "RETRYING"
    """A provider is away or busy: the job is due again at ``next_retry_at``."""
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    def can_transition_to(self, target: "JobStatus") -> bool:
        return target in EDGES[self]

    @property
    def is_final(self) -> bool:
        return not EDGES[self]


_S = JobStatus

EDGES: Mapping[JobStatus, frozenset[JobStatus]] = {
    # FAILED from here: its deadline passed before anybody had time for it
    _S.QUEUED: frozenset({_S.PROCESSING, _S.FAILED, _S.CANCELLED}),
    # back to QUEUED: its worker stopped or died, which is no failure of the job's
    _S.PROCESSING: frozenset({_S.COMPLETED, _S.FAILED, _S.RETRYING, _S.CANCELLED, _S.QUEUED}),
    _S.RETRYING: frozenset({_S.QUEUED, _S.FAILED, _S.CANCELLED}),
    _S.COMPLETED: frozenset(),
    _S.FAILED: frozenset(),
    _S.CANCELLED: frozenset(),
}
"""The whole graph. The database's trigger ``jobs_follow_the_graph`` holds the same edges."""
