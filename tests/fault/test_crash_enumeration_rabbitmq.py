"""The same blows where RabbitMQ carries the hints: at what the relay and the consumers do.

The rest of a run is the same code as without a broker, and is struck in `test_crash_enumeration`.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from tests.fault.boundaries import Mode, Operation
from tests.fault.crash_enumeration import Enumeration, hits
from tests.fault.crash_runs import open_laboratory
from tests.fault.crash_scenarios import SCENARIOS
from tests.support.postgres import PostgresForTests
from tests.support.rabbitmq import RabbitForTests

pytestmark = [pytest.mark.rabbitmq, pytest.mark.whole]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def enumeration(
    embedded_postgres: PostgresForTests,
    rabbitmq_server: RabbitForTests,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Enumeration]:
    async with open_laboratory(embedded_postgres, tmp_path_factory.mktemp("crashes")) as opened:
        yield Enumeration(replace(opened, rabbit=rabbitmq_server), SCENARIOS[0])


@pytest.mark.parametrize("mode", Mode)
async def test_no_fault_of_relay_or_consumer_breaks_a_promise(
    enumeration: Enumeration, mode: Mode
) -> None:
    recording, again = await enumeration.record(), await enumeration.record()
    struck = [
        hit
        for hit in hits(recording, [mode])
        if hit.boundary.stage.startswith(("consume ", "relay of "))
        and hit.boundary in again.boundaries  # a hint that is late is published twice, by chance
    ]
    stages = {hit.boundary.stage for hit in struck}
    assert stages >= {"relay of crm_tasks", "relay of wa_messages"}
    if mode is not Mode.CANCEL:
        assert stages >= {"consume crm_tasks", "consume wa_messages"}
        assert Operation.ACK in {hit.boundary.operation for hit in struck}
    assert Operation.PUBLISH in {hit.boundary.operation for hit in struck}
    await enumeration.assert_kept(recording, struck)
