"""One open unit of work for what jobs are answered with."""

from types import TracebackType
from typing import Self

from gateway.infrastructure.persistence.tenant_ciphers import TenantCiphers
from llm_worker.infrastructure.persistence.agent_config_repository import SqlAgentConfigRepository
from llm_worker.infrastructure.persistence.llm_budget_repository import SqlLLMBudgetRepository
from llm_worker.infrastructure.persistence.llm_config_repository import SqlLLMConfigRepository
from llm_worker.infrastructure.persistence.prompt_template_repository import (
    SqlPromptTemplateRepository,
)
from shared.kernel.ids import TenantId
from shared.messaging.port import Task
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction


class SqlLLMWork:
    """Keeps the promises of `LLMWork`."""

    models: SqlLLMConfigRepository
    templates: SqlPromptTemplateRepository
    agents: SqlAgentConfigRepository
    budget: SqlLLMBudgetRepository

    def __init__(self, database: Database, ciphers: TenantCiphers, tenant_id: TenantId) -> None:
        self._tx = Transaction(database, tenant_id)
        self._ciphers = ciphers

    async def __aenter__(self) -> Self:
        tenant_id = self._tx.tenant_id
        cipher = await self._ciphers.of(tenant_id)
        await self._tx.__aenter__()
        connection = self._tx.connection
        self.models = SqlLLMConfigRepository(connection, tenant_id, cipher)
        self.templates = SqlPromptTemplateRepository(connection, tenant_id)
        self.agents = SqlAgentConfigRepository(connection, tenant_id)
        self.budget = SqlLLMBudgetRepository(connection, tenant_id)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._tx.__aexit__(kind, error, trace)

    async def enqueue(self, task: Task) -> None:
        await self._tx.enqueue(task)

    async def commit(self) -> None:
        await self._tx.commit()
