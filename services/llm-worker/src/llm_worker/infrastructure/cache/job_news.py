"""Word about jobs on the cache's topics; `shared.jobs` says what the messages look like."""

from dataclasses import dataclass
from uuid import UUID

from shared.cache.port import Cache
from shared.jobs import status_news, topic
from shared.kernel.ids import TenantId


@dataclass(frozen=True, slots=True)
class CachedJobNews:
    """Keeps the promise of `JobNews`."""

    cache: Cache

    async def status(self, tenant_id: TenantId, job_id: UUID, status: str, run: int) -> None:
        await self.cache.publish(topic(tenant_id, job_id), status_news(status, run))
