"""One stack for the tests that only talk to it; those that kill make their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.fake_llm import FakeLlm
from tests.support.fake_waha import FakeWaha
from tests.support.postgres import PostgresForTests
from tests.support.stack import Stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_stack(
    tmp_path_factory: pytest.TempPathFactory, embedded_postgres: PostgresForTests
) -> AsyncIterator[Stack]:
    """One for all: tests make shops of their own and stop or kill nothing."""
    folder = tmp_path_factory.mktemp("stack")
    async with Stack(folder, postgres=embedded_postgres) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def stack(shared_stack: Stack) -> AsyncIterator[Stack]:
    """The shared one, audited after each test for what the test did to it."""
    yield shared_stack
    await shared_stack.audit()


@pytest_asyncio.fixture(loop_scope="session")
async def own_stack(tmp_path: Path, embedded_postgres: PostgresForTests) -> AsyncIterator[Stack]:
    """This test's own, to kill parts of and to move the clock of."""
    async with Stack(tmp_path, postgres=embedded_postgres) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def waha() -> AsyncIterator[FakeWaha]:
    async with FakeWaha() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def llm() -> AsyncIterator[FakeLlm]:
    async with FakeLlm() as server:
        yield server
