"""Work that is due later, under the guide's name."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog

from shared.jobs import run_task
from shared.messaging.delays import rung
from shared.persistence.unit_of_work import Transaction

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DelayedTaskPublisher:
    """Plans retries inside the transaction it was given; they are seen with its commit."""

    tx: Transaction

    async def schedule_retry(
        self, job_id: UUID | str, message: Mapping[str, Any], delay_seconds: float
    ) -> timedelta:
        """Make the job due after the delay, rounded up to a rung of the ladder: 1 s, 5 s, 30 s,
        2 min, and at most 5 min, after which a job that must wait longer is planned again.

        Returns:
            The delay that was taken.
        """
        delay = rung(timedelta(seconds=delay_seconds))
        await self.tx.enqueue(run_task(UUID(str(job_id)), delay=delay, payload=dict(message)))
        log.info("scheduling_retry", job_id=str(job_id), delay_seconds=delay.total_seconds())
        return delay
