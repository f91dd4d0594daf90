"""Tenants in SQL: the one of a unit of work, and the registry that makes new ones."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.domain.entities.tenant import (
    ShopProfile,
    SlugTaken,
    Tenant,
    TenantNotFound,
    TenantStatus,
)
from commerce_agent.domain.value_objects.language import Language
from commerce_agent.infrastructure.persistence.kept import Kept, Row, violated, write_changes
from shared.kernel.events import DomainEvent
from shared.kernel.ids import TenantId
from shared.persistence.database import Database, SystemRole
from shared.persistence.tables import tenants
from shared.persistence.unit_of_work import Transaction


class SqlTenantRepository:
    """The tenant that the transaction is bound to."""

    def __init__(self, connection: AsyncConnection, tenant_id: TenantId) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self._kept: Kept[Tenant] = Kept(_to_row)

    async def get(self, tenant_id: TenantId) -> Tenant:
        if tenant_id != self._tenant_id:
            raise TenantNotFound
        known = self._kept.find(tenant_id)
        if known is not None:
            return known
        query = select(tenants).where(tenants.c.id == tenant_id)
        row = (await self._connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise TenantNotFound
        return self._kept.load(to_tenant(row))

    async def flush(self) -> list[DomainEvent]:
        for tenant, changes, _ in self._kept.changed():
            await write_changes(
                self._connection,
                tenants,
                tenant_id=self._tenant_id,
                aggregate=tenant,
                changes=changes,
            )
        return self._kept.settle()


class SqlTenantRegistry:
    """Writes the tenant's row as the operator, and what it tells of as the tenant: the row belongs
    to nobody yet, the events already do."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, tenant: Tenant) -> None:
        async with Transaction(self._database, tenant.id) as tx:
            await tx.connection.execute(text(f"SET LOCAL ROLE {SystemRole.OPERATOR.value}"))
            try:
                await tx.connection.execute(
                    insert(tenants).values(id=tenant.id, version=tenant.version, **_to_row(tenant))
                )
            except IntegrityError as error:
                if violated(error) == "uq_tenants_slug":
                    raise SlugTaken(slug=tenant.slug) from error
                raise
            await tx.connection.execute(text("SET LOCAL ROLE NONE"))
            tx.record(*tenant.pull_events())
            await tx.commit()


def to_profile(stored: Mapping[str, Any]) -> ShopProfile:
    """Read a profile; unknown keys belong to a newer version and are passed over."""
    known = {name: stored[name] for name in _PROFILE if name in stored}
    for name in ("policies", "links"):
        if name in known:
            known[name] = tuple(known[name])
    return ShopProfile(**known)


_PROFILE = tuple(ShopProfile.__dataclass_fields__)


def _to_row(tenant: Tenant) -> Row:
    profile = asdict(tenant.profile)
    return {
        "slug": tenant.slug,
        "name": tenant.name,
        "status": tenant.status.value,
        "currency": tenant.currency,
        "timezone": tenant.timezone,
        "language": tenant.language.value,
        "profile": {name: _plain(value) for name, value in profile.items()},
        "llm_config_name": tenant.llm_config_name,
        "wrapped_key": tenant.wrapped_key,
    }


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def to_tenant(row: Mapping[Any, Any]) -> Tenant:
    """A tenant from its row."""
    return Tenant(
        id=TenantId(row["id"]),
        slug=row["slug"],
        name=row["name"],
        wrapped_key=bytes(row["wrapped_key"]),
        status=TenantStatus(row["status"]),
        currency=row["currency"],
        timezone=row["timezone"],
        language=Language(row["language"]),
        profile=to_profile(row["profile"]),
        llm_config_name=row["llm_config_name"],
        version=row["version"],
    )
