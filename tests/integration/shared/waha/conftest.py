"""A fake WAHA and plain clients of it."""

from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

from tests.support.fake_waha import FakeWaha
from tests.support.waha_webhooks import Engine


@pytest.fixture
def engine() -> Engine:
    return "NOWEB"


@pytest_asyncio.fixture(loop_scope="session")
async def waha(engine: Engine) -> AsyncIterator[FakeWaha]:
    async with FakeWaha(engine=engine) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def http(waha: FakeWaha) -> AsyncIterator[httpx2.AsyncClient]:
    async with waha.client() as client:
        yield client
