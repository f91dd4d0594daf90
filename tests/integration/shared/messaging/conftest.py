from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from shared.config.settings import QueueSettings
from tests.integration.shared.messaging.bench import Bench, MemoryBench, SqlBench, open_bench, quick
from tests.support.postgres import TestDatabase
from tests.support.rabbitmq import RabbitForTests


@pytest.fixture
def memory_bench() -> Bench:
    return MemoryBench()


@pytest_asyncio.fixture(loop_scope="session")
async def postgres_bench(test_database: TestDatabase) -> AsyncIterator[SqlBench]:
    async with open_bench(test_database, QueueSettings(**quick())) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def rabbitmq_bench(
    test_database: TestDatabase, rabbitmq_server: RabbitForTests
) -> AsyncIterator[SqlBench]:
    async with (
        rabbitmq_server.queues(**quick()) as settings,
        open_bench(test_database, settings) as opened,
    ):
        yield opened


@pytest.fixture(params=["memory", "postgres", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Every keeper of the port's promises."""
    opened: Bench = request.getfixturevalue(f"{request.param}_bench")
    return opened


@pytest.fixture(params=["postgres", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def sql_bench(request: pytest.FixtureRequest) -> SqlBench:
    """Those that keep their rows in PostgreSQL."""
    opened: SqlBench = request.getfixturevalue(f"{request.param}_bench")
    return opened
