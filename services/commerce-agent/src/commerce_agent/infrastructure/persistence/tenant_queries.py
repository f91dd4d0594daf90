"""Tenants as the operator sees them, in SQL."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select

from commerce_agent.application.queries.page import (
    Page,
    checked_limit,
    decode_cursor,
    encode_cursor,
    page_of,
)
from commerce_agent.application.queries.tenant_queries import TenantRow
from commerce_agent.domain.entities.tenant import TenantNotFound
from commerce_agent.infrastructure.persistence.tenant_repository import to_profile
from shared.kernel.ids import TenantId
from shared.persistence.database import Database, SystemRole, system_transaction
from shared.persistence.tables import tenants


class SqlTenantQueries:
    """Answers `TenantQueries`, each in a short transaction of the operator's role."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant_id: TenantId) -> TenantRow:
        return await self._one(tenants.c.id == tenant_id)

    async def named(self, slug_or_id: str) -> TenantRow:
        try:
            return await self._one(tenants.c.id == UUID(slug_or_id))
        except (ValueError, TenantNotFound):
            # a slug may look like an id
            return await self._one(tenants.c.slug == slug_or_id.replace("\0", ""))

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[TenantRow]:
        limit = checked_limit(limit)
        which = []
        if cursor is not None:
            which.append(tenants.c.id > decode_cursor(cursor, id=UUID)["id"])
        rows = await self._select(*which, limit=limit + 1)
        return page_of(rows, limit, lambda row: encode_cursor(id=row.id))

    async def _one(self, which: ColumnElement[bool]) -> TenantRow:
        found = await self._select(which)
        if not found:
            raise TenantNotFound
        return found[0]

    async def _select(
        self, *which: ColumnElement[bool], limit: int | None = None
    ) -> Sequence[TenantRow]:
        query = select(tenants).where(*which).order_by(tenants.c.id).limit(limit)
        async with system_transaction(self._database, SystemRole.OPERATOR) as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [_to_row(row) for row in rows]


def _to_row(row: Mapping[Any, Any]) -> TenantRow:
    return TenantRow(
        id=TenantId(row["id"]),
        slug=row["slug"],
        name=row["name"],
        status=row["status"],
        currency=row["currency"],
        timezone=row["timezone"],
        language=row["language"],
        profile=to_profile(row["profile"]),
        llm_config_name=row["llm_config_name"],
        version=row["version"],
        created_at=row["created_at"],
    )
