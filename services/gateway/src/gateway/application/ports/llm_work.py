"""Models, templates, agents and budget of one tenant, in one transaction."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

from llm_worker.domain.repositories.agent_config_repository import AgentConfigRepository
from llm_worker.domain.repositories.llm_budget_repository import LLMBudgetRepository
from llm_worker.domain.repositories.llm_config_repository import LLMConfigRepository
from llm_worker.domain.repositories.prompt_template_repository import PromptTemplateRepository
from shared.kernel.ids import TenantId
from shared.messaging.port import Task


class LLMWork(Protocol):
    """Leaving it without `commit` undoes all."""

    @property
    def models(self) -> LLMConfigRepository: ...

    @property
    def templates(self) -> PromptTemplateRepository: ...

    @property
    def agents(self) -> AgentConfigRepository: ...

    @property
    def budget(self) -> LLMBudgetRepository: ...

    async def enqueue(self, task: Task) -> None: ...

    async def commit(self) -> None: ...


OpenLLMWork: TypeAlias = Callable[[TenantId], AbstractAsyncContextManager[LLMWork]]
