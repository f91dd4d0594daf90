"""What every fault test may ask for: a seed that repeats its schedule of faults, a stack, fakes."""

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.support.fake_llm import FakeLlm
from tests.support.fake_waha import FakeWaha
from tests.support.postgres import PostgresForTests
from tests.support.stack import Stack
from tests.support.waha_webhooks import Engine

if TYPE_CHECKING:
    from tests.fault.hostile.house import House
    from tests.fault.whole_path import WholePath


@pytest.fixture(scope="session")
def fault_seed(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.option.fault_seed)


@pytest.fixture
def fault_random(fault_seed: int, request: pytest.FixtureRequest) -> random.Random:
    """This test's own dice: the same with the same seed, whatever else runs."""
    return random.Random(f"{fault_seed} {request.node.nodeid}")


@pytest_asyncio.fixture(loop_scope="session")
async def stack(tmp_path: Path, embedded_postgres: PostgresForTests) -> AsyncIterator[Stack]:
    """This test's own stack, with short waiting times."""
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


@pytest.fixture
def engine() -> Engine:
    """WAHA's, where a test does not name others."""
    return "NOWEB"


@pytest_asyncio.fixture(loop_scope="session")
async def path(opened_path: "WholePath", engine: Engine) -> "WholePath":
    """The module's own `opened_path`, with nothing of an earlier test."""
    await opened_path.begin_anew(engine=engine)
    return opened_path


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def opened_house(postgres: PostgresForTests) -> AsyncIterator["House"]:
    from tests.fault.hostile.house import open_house  # what only some tests need to load

    async with open_house(postgres) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def house(opened_house: "House") -> AsyncIterator["House"]:
    """A house with a shop of this test's own. At the end everything stored has come to rest and
    the auditor finds nothing."""
    opened_house.tenant = await opened_house.move_in()
    yield opened_house
    await opened_house.settle()
    await opened_house.path.assert_clean()
