"""Channels as screens see them, in SQL."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select

from commerce_agent.application.queries.channel_queries import ChannelRow
from commerce_agent.application.queries.page import (
    Page,
    checked_limit,
    decode_cursor,
    encode_cursor,
    page_of,
)
from commerce_agent.domain.entities.channel import ChannelNotFound
from shared.kernel.ids import ChannelId, TenantId
from shared.persistence.database import Database
from shared.persistence.tables import channels
from shared.persistence.unit_of_work import Transaction


class SqlChannelQueries:
    """Answers `ChannelQueries`, each in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant_id: TenantId, channel_id: ChannelId) -> ChannelRow:
        found = await self._select(tenant_id, channels.c.id == channel_id)
        if not found:
            raise ChannelNotFound
        return found[0]

    async def list(
        self,
        tenant_id: TenantId,
        *,
        limit: int = 50,
        cursor: str | None = None,
        kind: str | None = None,
    ) -> Page[ChannelRow]:
        limit = checked_limit(limit)
        which = []
        if cursor is not None:
            which.append(channels.c.id > decode_cursor(cursor, id=UUID)["id"])
        if kind is not None:
            which.append(channels.c.kind == kind)
        rows = await self._select(tenant_id, *which, limit=limit + 1)
        return page_of(rows, limit, lambda row: encode_cursor(id=row.id))

    async def _select(
        self, tenant_id: TenantId, *which: ColumnElement[bool], limit: int | None = None
    ) -> Sequence[ChannelRow]:
        query = (
            select(channels)
            .where(channels.c.tenant_id == tenant_id, *which)
            .order_by(channels.c.id)
            .limit(limit)
        )
        async with Transaction(self._database, tenant_id) as tx:
            rows = (await tx.connection.execute(query)).mappings().all()
        return [_to_row(row) for row in rows]


def _to_row(row: Mapping[Any, Any]) -> ChannelRow:
    return ChannelRow(
        id=ChannelId(row["id"]),
        kind=row["kind"],
        name=row["name"],
        session=row["session"],
        base_url=row["base_url"],
        has_api_key=row["api_key_ciphertext"] is not None,
        state=row["state"],
        phone=row["phone"],
        active=row["active"],
        rotating_secret=row["previous_webhook_secret_ciphertext"] is not None,
        gap_repair=row["gap_repair"],
        history_watermark=row["history_watermark"],
        version=row["version"],
        created_at=row["created_at"],
    )
