"""From a prompt to a checked answer: which models, which prompt, which agents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from llm_worker.application.dto.processing_dto import (
    ProcessingRequest,
    ProcessingResult,
    RunRecord,
)
from llm_worker.application.ports.setups import Setup, Setups
from llm_worker.domain.entities.agent_config import AgentConfig, AgentType
from llm_worker.domain.entities.llm_config import LLMConfig

_CHARACTERS_PER_TOKEN = 3
"""A cautious estimate for Indonesian and English, to tell which models take a prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One agent as it answers a run: its prompt, and the models to ask in their order."""

    system_prompt: str = field(repr=False)
    models: Sequence[LLMConfig]
    max_retries: int | None = None
    """Within one call; ``None``: LLM_MAX_RETRIES."""


class TextStream(Protocol):
    """Takes the text of an answer while it is written."""

    def begin(self) -> None:
        """A call begins; what an earlier one has written is void."""
        ...

    def add(self, text: str) -> None: ...


class LLMRunner(Protocol):
    """Runs pipelines; `LangGraphRunner` keeps its promises."""

    async def run(
        self,
        config: LLMConfig,
        system_prompt: str,
        user_prompt: str,
        *,
        fallbacks: Sequence[LLMConfig],
        deadline: timedelta,
        record: RunRecord,
        stream: TextStream | None,
    ) -> tuple[str, int]: ...

    async def run_multi_agent(
        self,
        config: LLMConfig,
        agent_configs: Mapping[AgentType, Agent],
        user_prompt: str,
        context: Mapping[str, Any] | None,
        needs_moderation: bool,
        *,
        retry_count: int,
        deadline: timedelta,
        record: RunRecord,
        stream: TextStream | None,
    ) -> tuple[str, int, AgentType]: ...


class ProcessingService:
    """Answers prompts for tenants; whoever calls it decides what a failure means.

    Raises, both methods:
        InvalidResponse, ModelRefused: the answer is none.
        ModelUnavailable: no model answers for the moment.
        DomainError: the job asks for a model, template or value that there is not.
    """

    def __init__(self, setups: Setups, llm_runner: LLMRunner) -> None:
        self._setups = setups
        self._llm_runner = llm_runner

    async def process(
        self,
        request: ProcessingRequest,
        *,
        record: RunRecord | None = None,
        stream: TextStream | None = None,
    ) -> ProcessingResult:
        """One question to one model, under the request's template."""
        record = RunRecord() if record is None else record
        setup = await self._setup(request, request.template_name)
        template = setup.template(request.template_name)
        record.template_version = template.version
        system_prompt = template.render(request.variables)
        config, *fallbacks = _chain(setup, request.config_name, system_prompt, request.prompt)
        text, tokens = await self._llm_runner.run(
            config,
            system_prompt,
            request.prompt,
            fallbacks=fallbacks,
            deadline=request.deadline,
            record=record,
            stream=stream,
        )
        return ProcessingResult(text=text, tokens=tokens, agent_type=AgentType.MAIN.value)

    async def process_multi_agent(
        self,
        request: ProcessingRequest,
        context: Mapping[str, Any] | None = None,
        needs_moderation: bool = True,
        *,
        record: RunRecord | None = None,
        stream: TextStream | None = None,
    ) -> ProcessingResult:
        """Moderation, router, and the agent that it chose; each under its own template."""
        record = RunRecord() if record is None else record
        setup = await self._setup(request, None)
        configs = setup.agents_for(request.config_name)
        agents = {kind: _agent(setup, agent, request) for kind, agent in configs.items()}
        config = _chain(setup, request.config_name, "", request.prompt)[0]
        text, tokens, agent_type = await self._llm_runner.run_multi_agent(
            config,
            agents,
            request.prompt,
            context,
            needs_moderation,
            retry_count=request.retry_count,
            deadline=request.deadline,
            record=record,
            stream=stream,
        )
        if agent_type in configs:
            record.template_version = setup.template(configs[agent_type].template_name).version
        return ProcessingResult(text=text, tokens=tokens, agent_type=agent_type.value)

    async def _setup(self, request: ProcessingRequest, template_name: str | None) -> Setup:
        """A job that asks for what was made a moment ago must not fail for that."""
        setup = await self._setups.of(request.tenant_id)
        if setup.has(request.config_name, template_name):
            return setup
        return await self._setups.of(request.tenant_id, fresh=True)


def _agent(setup: Setup, agent: AgentConfig, request: ProcessingRequest) -> Agent:
    system_prompt = setup.template(agent.template_name).render(request.variables)
    name = agent.llm_config_name or request.config_name
    models = _chain(setup, name, system_prompt, request.prompt)
    return Agent(
        system_prompt=system_prompt,
        models=[agent.tuned(model) for model in models],
        max_retries=agent.max_retries,
    )


def _chain(setup: Setup, name: str, system_prompt: str, user_prompt: str) -> tuple[LLMConfig, ...]:
    size = (len(system_prompt) + len(user_prompt)) // _CHARACTERS_PER_TOKEN + 1
    return setup.chain(name, prompt_tokens=size)
