"""What a check found, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    NOTE = "note"
    """Worth knowing; the platform works."""
    FAILED = "failed"
    """The platform cannot work like this."""


@dataclass(frozen=True)
class Finding:
    subject: str
    state: State
    told: str
    """What was found; for a failure also what to do."""


def ok(subject: str, told: str) -> Finding:
    return Finding(subject, State.OK, told)


def note(subject: str, told: str) -> Finding:
    return Finding(subject, State.NOTE, told)


def failed(subject: str, told: str) -> Finding:
    return Finding(subject, State.FAILED, told)
