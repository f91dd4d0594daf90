"""Finished jobs in the cache, and word of changes on its topics."""

from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from gateway.application.dto.job_dto import JobStatusDTO
from gateway.domain.entities.job import Pipeline
from gateway.domain.value_objects.job_id import JobId
from gateway.domain.value_objects.job_status import JobStatus
from shared.cache.port import Cache
from shared.jobs import topic
from shared.kernel.ids import TenantId

_MOMENTS = ("next_retry_at", "created_at", "started_at", "finished_at", "updated_at", "deadline_at")
_FIELDS = {each.name for each in fields(JobStatusDTO)}


class JobCache:
    """Keeps the promises of `CacheClient` for one tenant and one unit of work."""

    def __init__(self, cache: Cache, tenant_id: TenantId, ttl: timedelta) -> None:
        self._cache = cache
        self._tenant_id = tenant_id
        self._ttl = ttl
        self._untold: list[JobStatusDTO] = []

    async def get(self, job_id: JobId) -> JobStatusDTO | None:
        known = await self._cache.get(self._key(job_id))
        return None if known is None else _read(orjson.loads(known))

    async def set(self, job: JobStatusDTO) -> None:
        await self._cache.set(self._key(job.job_id), _written(job), self._ttl)

    async def publish(self, job: JobStatusDTO) -> None:
        self._untold.append(job)

    async def tell(self) -> None:
        """Say what was published, now that it is committed."""
        untold, self._untold = self._untold, []
        for job in untold:
            told = {"type": "status", "status": job.status, "run": job.run}
            await self._cache.publish(topic(self._tenant_id, job.job_id), orjson.dumps(told))

    def _key(self, job_id: JobId) -> str:
        return f"finished-{topic(self._tenant_id, job_id)}"


def _written(job: JobStatusDTO) -> bytes:
    return orjson.dumps(asdict(job), default=str)


def _read(values: dict[str, Any]) -> JobStatusDTO | None:
    if values.keys() != _FIELDS:  # written by another release
        return None
    for name in _MOMENTS:
        values[name] = values[name] and datetime.fromisoformat(values[name])
    return JobStatusDTO(
        **values
        | {
            "job_id": JobId(values["job_id"]),
            "status": JobStatus(values["status"]),
            "pipeline": Pipeline(values["pipeline"]),
            "retry_of": values["retry_of"] and JobId(values["retry_of"]),
            "batch_id": values["batch_id"] and UUID(values["batch_id"]),
        }
    )
