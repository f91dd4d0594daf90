"""Shops over memory and over SQL, and the services that keep them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

import pytest

from commerce_agent.application.services.channel_service import ChannelService
from commerce_agent.application.services.customer_service import CustomerService
from commerce_agent.application.services.product_service import ProductService
from commerce_agent.application.services.tenant_service import TenantService
from commerce_agent.application.unit_of_work import UnitOfWorkFactory
from commerce_agent.domain.entities.tenant import Tenant
from commerce_agent.domain.repositories.tenant_repository import TenantRegistry
from commerce_agent.infrastructure.persistence.tenant_repository import SqlTenantRegistry
from commerce_agent.infrastructure.persistence.unit_of_work import SqlUnitOfWork
from shared.persistence.database import Database
from shared.security.crypto import KeyRing
from tests.support.memory_shop import MemoryShop
from tests.support.rows import MASTER_KEY

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
KEYS = KeyRing(MASTER_KEY)


@dataclass(frozen=True)
class Shop:
    """A unit of work factory with the catalogue's services over it, at one moment."""

    uow: UnitOfWorkFactory
    registry: TenantRegistry

    @property
    def tenants(self) -> TenantService:
        return TenantService(self.uow, self.registry, KEYS, lambda: NOW)

    @property
    def channels(self) -> ChannelService:
        return ChannelService(self.uow, KEYS, lambda: NOW)

    @property
    def products(self) -> ProductService:
        return ProductService(self.uow, lambda: NOW)

    @property
    def customers(self) -> CustomerService:
        return CustomerService(self.uow, lambda: NOW)

    async def a_tenant(self, slug: str = "kopi-senja", **fields: Any) -> Tenant:
        return await self.tenants.create(slug=slug, name="Kopi Senja", **fields)


@pytest.fixture
def sql_shop(database: Database) -> Shop:
    return Shop(partial(SqlUnitOfWork, database), SqlTenantRegistry(database))


@pytest.fixture(params=["memory", "sql"])
def shop(request: pytest.FixtureRequest) -> Shop:
    """Every promise is kept by both."""
    if request.param == "sql":
        sql: Shop = request.getfixturevalue("sql_shop")
        return sql
    memory = MemoryShop()
    return Shop(cast(UnitOfWorkFactory, memory), memory)
