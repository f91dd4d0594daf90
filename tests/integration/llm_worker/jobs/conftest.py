"""Jobs over the real database and queue, with model servers over HTTP in both shapes."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.fake_llm import FakeLlm
from tests.support.job_path import JobPath, open_job_path
from tests.support.postgres import PostgresForTests


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def opened_job_path(postgres: PostgresForTests) -> AsyncIterator[JobPath]:
    database = await postgres.database()
    async with FakeLlm() as llm, open_job_path(database, llm) as opened:
        yield opened
    await postgres.drop(database)


@pytest_asyncio.fixture(loop_scope="session")
async def path(opened_job_path: JobPath) -> JobPath:
    """With nothing of an earlier test."""
    await opened_job_path.begin_anew()
    return opened_job_path


@pytest_asyncio.fixture(loop_scope="session", params=["openai", "anthropic"])
async def either(opened_job_path: JobPath, request: pytest.FixtureRequest) -> JobPath:
    """The same with a provider of each shape."""
    await opened_job_path.begin_anew(shape=request.param)
    return opened_job_path
