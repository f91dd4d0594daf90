"""One stack for the tests that only talk to it; those that kill make their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.fake_llm import FakeLlm
from tests.support.fake_waha import FakeWaha
from tests.support.stack import Stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Shared: tests make shops of their own and stop or kill nothing."""
    async with Stack(tmp_path_factory.mktemp("stack")) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def own_stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """This test's own, to kill parts of and to move the clock of."""
    async with Stack(tmp_path) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def waha() -> AsyncIterator[FakeWaha]:
    async with FakeWaha() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def llm() -> AsyncIterator[FakeLlm]:
    async with FakeLlm() as server:
        yield server
