"""Given-up work over HTTP."""

from datetime import datetime
from uuid import UUID

from gateway.interface.schemas.common import Answer


class DeadLetterAnswer(Answer):
    id: UUID
    queue: str
    kind: str
    key: str
    attempts: int
    code: str
    detail: str
    created_at: datetime
    redriven_at: datetime | None
