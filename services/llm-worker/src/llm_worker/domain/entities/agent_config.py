"""How each agent of the pipeline answers."""

from dataclasses import dataclass, replace
from enum import StrEnum

from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.domain.value_objects.name import checked_name
from llm_worker.domain.value_objects.temperature import Temperature
from shared.kernel.errors import Invalid
from shared.kernel.ids import TenantId

DEFAULT_AGENTS = "default"
"""The name of the agents that answer for every configuration without agents of its own."""
_MOST_RETRIES = 20


class AgentType(StrEnum):
    """The agents; the value is what the database and REST say."""

    MAIN = "main"
    FALLBACK = "fallback"
    """Answers what broke the rules, and what nobody gave a usable answer to."""
    FOLLOWUP = "followup"
    MODERATION = "moderation"


class InvalidAgentConfig(Invalid, ValueError):
    """A number of this agent is out of range."""

    code = "invalid_agent_config"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """One version of one agent. ``tenant_id`` ``None`` is the platform's.

    What is ``None`` is as the model's configuration has it.

    Raises:
        InvalidName: a name is none.
        InvalidAgentConfig: a number is out of range.
    """

    name: str
    """The configuration whose jobs it answers, or ``default``."""
    type: AgentType
    template_name: str
    tenant_id: TenantId | None = None
    llm_config_name: str | None = None
    """The model that it asks; ``None``: the job's own."""
    temperature: Temperature | None = None
    max_tokens: int | None = None
    max_retries: int | None = None
    """Tries after the first one within one call; ``None``: LLM_MAX_RETRIES."""
    version: int = 1
    active: bool = True
    """Whether this is the published version."""

    def __post_init__(self) -> None:
        checked_name(self.name)
        checked_name(self.template_name)
        if self.llm_config_name is not None:
            checked_name(self.llm_config_name)
        if self.max_tokens is not None and self.max_tokens < 1:
            raise InvalidAgentConfig("max_tokens must be at least 1")
        if self.max_retries is not None and not 0 <= self.max_retries <= _MOST_RETRIES:
            raise InvalidAgentConfig(f"max_retries lies in 0 to {_MOST_RETRIES}")

    def tuned(self, model: LLMConfig) -> LLMConfig:
        """The model as this agent asks it: with its own temperature and length of answer."""
        return replace(
            model,
            temperature=model.temperature if self.temperature is None else self.temperature,
            max_tokens=model.max_tokens if self.max_tokens is None else self.max_tokens,
        )
