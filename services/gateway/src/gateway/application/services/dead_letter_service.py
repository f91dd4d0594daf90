"""Work that was given up, as a tenant's staff see it."""

from dataclasses import dataclass
from uuid import UUID

from commerce_agent.application.queries.page import (
    Page,
    checked_limit,
    decode_cursor,
    encode_cursor,
    page_of,
)
from shared.kernel.ids import TenantId
from shared.messaging import dead_letters
from shared.messaging.dead_letters import DeadLetter
from shared.persistence.database import Database


@dataclass(frozen=True, slots=True)
class DeadLetterService:
    database: Database

    async def list(
        self, tenant_id: TenantId, *, limit: int = 50, cursor: str | None = None
    ) -> Page[DeadLetter]:
        """A page, newest first. Raises BadCursor, BadLimit."""
        before = None if cursor is None else decode_cursor(cursor, id=UUID)["id"]
        rows = await dead_letters.list_dead_letters(
            self.database, tenant_id=tenant_id, before=before, limit=checked_limit(limit) + 1
        )
        return page_of(rows, limit, lambda row: encode_cursor(id=row.id))

    async def redrive(self, tenant_id: TenantId, letter: UUID) -> None:
        """Put the work back. Raises DeadLetterNotFound, AlreadyRedriven."""
        await dead_letters.redrive(self.database, tenant_id, letter)
