"""How accepted jobs reach the workers."""

from typing import Protocol

from gateway.domain.value_objects.job_id import JobId


class MessagePublisher(Protocol):
    """Gives work to the LLM workers as part of the open transaction: it is seen with the commit."""

    async def publish_task(self, job_id: JobId, *, priority: int = 0) -> None:
        """Let a worker do this job; higher ``priority`` goes first within the tenant."""
        ...

    async def publish_callback(self, job_id: JobId) -> None:
        """Let the job's ``callback_url`` be told that it has ended."""
        ...
