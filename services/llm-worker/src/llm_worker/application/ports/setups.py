"""What a tenant's jobs are answered with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from llm_worker.domain.entities.agent_config import DEFAULT_AGENTS, AgentConfig, AgentType
from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.domain.entities.prompt_template import PromptTemplate
from llm_worker.domain.repositories.prompt_template_repository import PromptTemplateNotFound
from llm_worker.domain.services.llm_selector import select_models
from shared.kernel.errors import DomainError
from shared.kernel.ids import TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A tenant's models, templates and agents at one moment, the platform's among them."""

    models: Sequence[LLMConfig]
    unusable: Mapping[str, DomainError]
    """Models whose row cannot be used, and why."""
    templates: Mapping[str, PromptTemplate]
    agents: Sequence[AgentConfig]

    def has(self, config_name: str, template_name: str | None) -> bool:
        """Whether there is a model and a template by these names."""
        named = any(model.name == config_name for model in self.models)
        return (named or config_name in self.unusable) and (
            template_name is None or template_name in self.templates
        )

    def chain(self, name: str, *, prompt_tokens: int) -> tuple[LLMConfig, ...]:
        """The models to ask, in order; see `select_models`.

        Raises:
            LLMConfigNotFound, NoModelFits: as `select_models`.
            DomainError: what is wrong with the requested one.
        """
        if name in self.unusable:
            raise self.unusable[name]
        return select_models(name, self.models, prompt_tokens=prompt_tokens)

    def template(self, name: str) -> PromptTemplate:
        """The published version. Raises `PromptTemplateNotFound`."""
        found = self.templates.get(name)
        if found is None:
            raise PromptTemplateNotFound(f"There is no template named {name}")
        return found

    def agents_for(self, config_name: str) -> Mapping[AgentType, AgentConfig]:
        """The agents that answer that configuration's jobs: each its own if there is one, else the
        one named ``default``."""
        chosen = {agent.type: agent for agent in self.agents if agent.name == DEFAULT_AGENTS}
        return chosen | {agent.type: agent for agent in self.agents if agent.name == config_name}


class Setups(Protocol):
    async def of(self, tenant_id: TenantId, *, fresh: bool = False) -> Setup:
        """What the tenant has now; a change is seen within 5 s, or with ``fresh`` at once.

        Raises:
            DatabaseUnavailable: no answer.
        """
        ...
