"""What makes asking for a job quick. Nothing here is ever the only copy of anything."""

from typing import Protocol

from gateway.application.dto.job_dto import JobStatusDTO
from gateway.domain.value_objects.job_id import JobId


class CacheClient(Protocol):
    """Remembers finished jobs of one tenant, which never change again, and tells of changes."""

    async def get(self, job_id: JobId) -> JobStatusDTO | None:
        """The job as it ended, if that is remembered."""
        ...

    async def set(self, job: JobStatusDTO) -> None:
        """Remember a job that has ended, for REDIS_JOB_TTL."""
        ...

    async def publish(self, job: JobStatusDTO) -> None:
        """Tell whoever watches or does this job how it stands, once that is committed."""
        ...
