"""Customers as screens see them, in SQL."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select

from commerce_agent.application.queries.customer_queries import CustomerRow
from commerce_agent.application.queries.page import (
    Page,
    checked_limit,
    decode_cursor,
    encode_cursor,
    page_of,
)
from commerce_agent.domain.entities.customer import CustomerNotFound
from commerce_agent.domain.value_objects.ids import CustomerId
from commerce_agent.infrastructure.persistence.customer_repository import CUSTOMER_COLUMNS
from commerce_agent.infrastructure.persistence.tables import customers
from shared.kernel.ids import TenantId
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction


class SqlCustomerQueries:
    """Answers `CustomerQueries`, each in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant_id: TenantId, customer_id: CustomerId) -> CustomerRow:
        found = await self._select(tenant_id, customers.c.id == customer_id)
        if not found:
            raise CustomerNotFound
        return found[0]

    async def list(
        self,
        tenant_id: TenantId,
        *,
        limit: int = 50,
        cursor: str | None = None,
        search: str | None = None,
    ) -> Page[CustomerRow]:
        limit = checked_limit(limit)
        which = []
        if cursor is not None:
            which.append(customers.c.id < decode_cursor(cursor, id=UUID)["id"])
        if search is not None and (part := search.replace("\0", "").strip()):
            which.append(_contains(part))
        rows = await self._select(tenant_id, *which, limit=limit + 1)
        return page_of(rows, limit, lambda row: encode_cursor(id=row.id))

    async def _select(
        self, tenant_id: TenantId, *which: ColumnElement[bool], limit: int | None = None
    ) -> Sequence[CustomerRow]:
        query = (
            select(*CUSTOMER_COLUMNS)
            .where(customers.c.tenant_id == tenant_id, *which)
            .order_by(customers.c.id.desc())
            .limit(limit)
        )
        async with Transaction(self._database, tenant_id) as tx:
            rows = (await tx.connection.execute(query)).mappings().all()
        return [_to_row(row) for row in rows]


def _contains(part: str) -> ColumnElement[bool]:
    matches = [customers.c.name.icontains(part, autoescape=True)]
    # 0812-3456 and +62 812 3456 are kept as +628123456
    digits = re.sub(r"\D", "", part).removeprefix("62").lstrip("0")
    if digits:
        matches.append(customers.c.phone.contains(digits))
    return or_(*matches)


def _to_row(row: Mapping[Any, Any]) -> CustomerRow:
    return CustomerRow(
        id=CustomerId(row["id"]),
        name=row["name"],
        phone=row["phone"],
        address=row["address"],
        language=row["language"],
        note=row["note"],
        opted_out=row["opted_out"],
        addresses=tuple(row["addresses"]),
        version=row["version"],
        created_at=row["created_at"],
    )
