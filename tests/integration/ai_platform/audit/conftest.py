"""One database for all tests of the audit: each story is told in a transaction that is rolled back,
so that a test may also drop a constraint or stop the clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

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
async def empty(postgres: PostgresForTests) -> AsyncIterator[TestDatabase]:
    """Whatever a test does to it is undone."""
    made = await postgres.database()
    yield made
    await postgres.drop(made)


@pytest_asyncio.fixture(loop_scope="session")
async def story(empty: TestDatabase) -> AsyncIterator[Story]:
    async with empty.admin() as connection:
        transaction = connection.transaction()
        await transaction.start()
        yield await tell(Undone(**asdict(empty), connection=connection), waha_url=WAHA)
        await transaction.rollback()
