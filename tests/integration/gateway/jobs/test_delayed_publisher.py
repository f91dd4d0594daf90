from datetime import timedelta

import orjson
import pytest
from structlog.testing import capture_logs

from gateway.domain.value_objects.job_id import JobId
from gateway.infrastructure.messaging.delayed_publisher import DelayedTaskPublisher
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction
from tests.support import rows
from tests.support.postgres import TestDatabase


@pytest.mark.parametrize(
    ("asked", "taken"), [(0, 1), (1, 1), (1.5, 5), (30, 30), (31, 120), (121, 300), (4000, 300)]
)
async def test_a_retry_is_due_after_a_rung_of_the_ladder(
    database: Database, test_database: TestDatabase, asked: float, taken: float
) -> None:
    tenant, job_id = await rows.a_tenant(test_database), JobId.new()
    with capture_logs() as logs:
        async with Transaction(database, tenant) as tx:
            delay = await DelayedTaskPublisher(tx).schedule_retry(str(job_id), {"run": 2}, asked)
            await tx.commit()

    assert delay == timedelta(seconds=taken)
    (row,) = await test_database.fetch(
        "SELECT queue, kind, key, payload, available_at - created_at AS delay FROM queue_messages"
    )
    assert (row["queue"], row["kind"], row["key"]) == ("ai_tasks", "job.run", str(job_id))
    assert (orjson.loads(row["payload"]), row["delay"]) == (
        {"job_id": str(job_id), "run": 2},
        delay,
    )
    assert logs == [
        {
            "event": "scheduling_retry",
            "job_id": str(job_id),
            "delay_seconds": taken,
            "log_level": "info",
        }
    ]
