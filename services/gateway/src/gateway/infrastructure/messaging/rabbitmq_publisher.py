"""The guide's publisher over the shared queue: RabbitMQ carries hints, rows carry the work."""

from dataclasses import dataclass

from gateway.domain.value_objects.job_id import JobId
from shared.jobs import callback_task, run_task
from shared.persistence.unit_of_work import Transaction


@dataclass(frozen=True, slots=True)
class RabbitMQPublisher:
    """Keeps the promise of `MessagePublisher` inside the transaction it was given. Whether a broker
    then carries the hint is the relay's business, and no broker is needed to accept a job."""

    tx: Transaction

    async def publish_task(self, job_id: JobId, *, priority: int = 0) -> None:
        await self.tx.enqueue(run_task(job_id, priority=priority))

    async def publish_callback(self, job_id: JobId) -> None:
        await self.tx.enqueue(callback_task(job_id))
