"""What every test may ask for. Servers are started once per test process and shared."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from shared.persistence.database import Database, open_database
from tests.support.postgres import PostgresForTests, TestDatabase
from tests.support.redis import RedisForTests


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres() -> AsyncIterator[PostgresForTests]:
    """The shared PostgreSQL. Never restarted: a test that wants that makes its own."""
    async with PostgresForTests() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def test_database(postgres: PostgresForTests) -> AsyncIterator[TestDatabase]:
    """A migrated database of this test's own."""
    made = await postgres.database()
    yield made
    await postgres.drop(made)


@pytest_asyncio.fixture(loop_scope="session")
async def database(test_database: TestDatabase) -> AsyncIterator[Database]:
    """The same, opened as the runtime role."""
    async with open_database(test_database.settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisForTests]:
    """The shared Redis. Never flushed: a test that wants that makes its own."""
    with RedisForTests() as server:
        yield server
