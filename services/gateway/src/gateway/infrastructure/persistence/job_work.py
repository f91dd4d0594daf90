"""One open unit of work for jobs."""

from datetime import timedelta
from types import TracebackType
from typing import Self

from gateway.application.services.job_service import JobService
from gateway.domain.entities.job import DEFAULT_MAX_RETRIES
from gateway.infrastructure.cache.job_cache import JobCache
from gateway.infrastructure.messaging.rabbitmq_publisher import RabbitMQPublisher
from gateway.infrastructure.persistence.job_repository import SqlJobRepository
from llm_worker.infrastructure.persistence.llm_budget_repository import SqlLLMBudgetRepository
from shared.cache.port import Cache
from shared.kernel.ids import TenantId
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction


class JobWork:
    """Jobs, their events and their work in one transaction; leaving without `commit` undoes all.

    async with JobWork(database, cache, tenant_id, ttl=...) as work:
        accepted = await work.jobs.submit_job(dto)
        await work.commit()
    """

    jobs: JobService

    def __init__(
        self,
        database: Database,
        cache: Cache,
        tenant_id: TenantId,
        *,
        ttl: timedelta,
        default_max_retries: int = DEFAULT_MAX_RETRIES,
    ) -> None:
        self._tx = Transaction(database, tenant_id)
        self._cache = JobCache(cache, tenant_id, ttl)
        self._default_max_retries = default_max_retries

    async def __aenter__(self) -> Self:
        await self._tx.__aenter__()
        self.jobs = JobService(
            SqlJobRepository(self._tx),
            RabbitMQPublisher(self._tx),
            self._cache,
            SqlLLMBudgetRepository(self._tx.connection, self._tx.tenant_id),
            default_max_retries=self._default_max_retries,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._tx.__aexit__(kind, error, trace)

    async def commit(self) -> None:
        """Commit, and then tell whoever watches the jobs."""
        await self._tx.commit()
        await self._cache.tell()
