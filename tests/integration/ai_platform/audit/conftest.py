"""One story for all tests of the audit, in a transaction that is rolled back to it after each test:
so a test may also drop a constraint or stop the clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace

import asyncpg
import pytest_asyncio

from tests.integration.ai_platform.audit.story import Story, tell
from tests.support.postgres import PostgresForTests, TestDatabase

WAHA = "http://127.0.0.1:4711"


@dataclass(frozen=True)
class Undone(TestDatabase):
    """A database all of whose statements are one transaction that never commits."""

    __test__ = False

    connection: asyncpg.Connection

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[asyncpg.Connection]:
        yield self.connection


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def told(postgres: PostgresForTests) -> AsyncIterator[Story]:
    """Told once, and never committed."""
    made = await postgres.database()
    async with made.admin() as connection:
        transaction = connection.transaction()
        await transaction.start()
        yield await tell(Undone(**asdict(made), connection=connection), waha_url=WAHA)
        await transaction.rollback()
    await postgres.drop(made)


@pytest_asyncio.fixture(loop_scope="session")
async def story(told: Story) -> AsyncIterator[Story]:
    """As it was told: whatever a test does to it or to the schema is undone."""
    async with told.db.admin() as connection:
        savepoint = connection.transaction()
        await savepoint.start()
        yield replace(told)
        await savepoint.rollback()
