"""Callbacks as REST shows them, in SQL."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, select, update

from commerce_agent.application.queries.page import (
    Page,
    checked_limit,
    decode_cursor,
    encode_cursor,
    page_of,
)
from commerce_agent.application.queries.webhook_delivery_queries import (
    DeliveryAttemptRow,
    DeliveryRow,
    WebhookDeliveryNotFound,
)
from commerce_agent.infrastructure.persistence.tables import webhook_attempts, webhook_deliveries
from shared.jobs import callback_task
from shared.kernel.ids import TenantId
from shared.persistence.database import Database
from shared.persistence.metadata import NOW
from shared.persistence.unit_of_work import Transaction

_MOST_ATTEMPTS = 100
_SHOWN = [webhook_deliveries.c[name] for name in DeliveryRow.__dataclass_fields__]
_SHOWN_OF_ATTEMPTS = [webhook_attempts.c[name] for name in DeliveryAttemptRow.__dataclass_fields__]


class SqlWebhookDeliveries:
    """Keeps the promises of `WebhookDeliveries`, each in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self,
        tenant_id: TenantId,
        *,
        state: str | None = None,
        job_id: UUID | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[DeliveryRow]:
        limit = checked_limit(limit)
        which: list[ColumnElement[bool]] = [webhook_deliveries.c.tenant_id == tenant_id]
        if state is not None:
            which.append(webhook_deliveries.c.state == state)
        if job_id is not None:
            which.append(webhook_deliveries.c.job_id == job_id)
        if cursor is not None:
            which.append(webhook_deliveries.c.id < decode_cursor(cursor, id=UUID)["id"])
        query = (
            select(*_SHOWN).where(*which).order_by(webhook_deliveries.c.id.desc()).limit(limit + 1)
        )
        async with Transaction(self._database, tenant_id) as tx:
            rows = [_delivery(row) for row in await tx.connection.execute(query)]
        return page_of(rows, limit, lambda row: encode_cursor(id=row.id))

    async def get(
        self, tenant_id: TenantId, delivery_id: UUID
    ) -> tuple[DeliveryRow, Sequence[DeliveryAttemptRow]]:
        attempts = (
            select(*_SHOWN_OF_ATTEMPTS)
            .where(
                webhook_attempts.c.tenant_id == tenant_id,
                webhook_attempts.c.delivery_id == delivery_id,
            )
            .order_by(webhook_attempts.c.number.desc())
            .limit(_MOST_ATTEMPTS)
        )
        async with Transaction(self._database, tenant_id) as tx:
            query = select(*_SHOWN).where(*_mine(tenant_id, delivery_id))
            row = (await tx.connection.execute(query)).one_or_none()
            if row is None:
                raise WebhookDeliveryNotFound
            made = [
                DeliveryAttemptRow(**each._mapping)
                for each in await tx.connection.execute(attempts)
            ]
        return _delivery(row), made

    async def replay(self, tenant_id: TenantId, delivery_id: UUID) -> DeliveryRow:
        again = (
            update(webhook_deliveries)
            .where(*_mine(tenant_id, delivery_id))
            .values(
                state="pending",
                round=webhook_deliveries.c.round + 1,
                failures=0,
                next_at=NOW,
                finished_at=None,
            )
            .returning(*_SHOWN)
        )
        async with Transaction(self._database, tenant_id) as tx:
            row = (await tx.connection.execute(again)).one_or_none()
            if row is None:
                raise WebhookDeliveryNotFound
            await tx.enqueue(callback_task(row.job_id))
            await tx.commit()
        return _delivery(row)


def _mine(tenant_id: TenantId, delivery_id: UUID) -> tuple[ColumnElement[bool], ...]:
    return (
        webhook_deliveries.c.tenant_id == tenant_id,
        webhook_deliveries.c.id == delivery_id,
    )


def _delivery(row: Row[Any]) -> DeliveryRow:
    return DeliveryRow(**row._mapping)
