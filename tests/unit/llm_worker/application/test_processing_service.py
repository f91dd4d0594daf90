"""Which models, prompt and agents a job is answered with."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from llm_worker.application.dto.processing_dto import ProcessingRequest, RunRecord
from llm_worker.application.ports.setups import Setup
from llm_worker.application.services.processing_service import Agent, ProcessingService
from llm_worker.domain.entities.agent_config import AgentConfig, AgentType
from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.domain.entities.prompt_template import PromptTemplate
from llm_worker.domain.repositories.llm_config_repository import LLMConfigNotFound
from llm_worker.domain.repositories.prompt_template_repository import PromptTemplateNotFound
from llm_worker.domain.value_objects.model_name import ModelName
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.infrastructure.llm.errors import ModelKeyInvalid
from shared.kernel.ids import TenantId, new_id

TENANT = TenantId(new_id())
MINUTE = timedelta(minutes=1)


def a_model(name: str, **changes: Any) -> LLMConfig:
    values: dict[str, Any] = {
        "name": name,
        "provider": ProviderType.SCRIPTED,
        "model": ModelName(name),
    }
    return LLMConfig(**(values | changes))


def a_template(name: str, body: str, version: int = 1) -> PromptTemplate:
    return PromptTemplate(name=name, body=body, version=version)


def a_setup(**changes: Any) -> Setup:
    templates = [
        a_template("greeting", "You greet {{ who }}.", version=4),
        *(a_template(f"{kind}-agent", f"You are {kind}.", version=7) for kind in AgentType),
    ]
    values: dict[str, Any] = {
        "models": [a_model("smart", fallbacks=("fast",)), a_model("fast")],
        "unusable": {"broken": ModelKeyInvalid()},
        "templates": {template.name: template for template in templates},
        "agents": [
            AgentConfig(name="default", type=kind, template_name=f"{kind}-agent")
            for kind in AgentType
        ],
    }
    return Setup(**(values | changes))


class Setups:
    """Remembers ``known`` until it is asked for what is fresh."""

    def __init__(self, setup: Setup, *, known: Setup | None = None) -> None:
        self.setup = setup
        self.known = known or setup
        self.freshly_read = 0

    async def of(self, tenant_id: TenantId, *, fresh: bool = False) -> Setup:
        assert tenant_id == TENANT
        if not fresh:
            return self.known
        self.freshly_read += 1
        return self.setup


class Runner:
    """Says who was asked for what."""

    def __init__(self, answerer: AgentType = AgentType.MAIN) -> None:
        self.answerer = answerer
        self.asked: dict[str, Any] = {}

    async def run(
        self, config: LLMConfig, system_prompt: str, user_prompt: str, **rest: Any
    ) -> tuple[str, int]:
        self.asked = {"config": config, "system": system_prompt, "user": user_prompt, **rest}
        return "Halo.", 5

    async def run_multi_agent(
        self,
        config: LLMConfig,
        agent_configs: Mapping[AgentType, Agent],
        user_prompt: str,
        context: Mapping[str, Any] | None,
        needs_moderation: bool,
        **rest: Any,
    ) -> tuple[str, int, AgentType]:
        self.asked = {"config": config, "agents": agent_configs, "user": user_prompt, **rest}
        return "Halo.", 5, self.answerer


def a_request(**changes: Any) -> ProcessingRequest:
    values: dict[str, Any] = {
        "tenant_id": TENANT,
        "prompt": "Halo",
        "config_name": "smart",
        "template_name": "greeting",
        "variables": {"who": "Sari"},
        "deadline": MINUTE,
    }
    return ProcessingRequest(**(values | changes))


def names(models: Sequence[LLMConfig]) -> list[str]:
    return [model.name for model in models]


async def test_one_question_goes_to_the_requested_model_and_its_fallbacks() -> None:
    runner, record = Runner(), RunRecord()
    service = ProcessingService(Setups(a_setup()), runner)
    result = await service.process(a_request(), record=record)
    assert (result.text, result.tokens, result.agent_type) == ("Halo.", 5, "main")
    assert runner.asked["config"].name == "smart"
    assert names(runner.asked["fallbacks"]) == ["fast"]
    assert (runner.asked["system"], runner.asked["user"]) == ("You greet Sari.", "Halo")
    assert (runner.asked["deadline"], record.template_version) == (MINUTE, 4)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"config_name": "nowhere"}, LLMConfigNotFound),
        ({"config_name": "broken"}, ModelKeyInvalid),
        ({"template_name": "nowhere"}, PromptTemplateNotFound),
    ],
)
async def test_what_is_not_there_or_cannot_be_used_is_said_before_anybody_is_asked(
    changes: dict[str, Any], error: type[Exception]
) -> None:
    runner = Runner()
    with pytest.raises(error):
        await ProcessingService(Setups(a_setup()), runner).process(a_request(**changes))
    assert runner.asked == {}


async def test_what_was_made_a_moment_ago_is_there() -> None:
    setups = Setups(a_setup(), known=a_setup(templates={}))
    runner = Runner()
    await ProcessingService(setups, runner).process(a_request())
    assert (runner.asked["system"], setups.freshly_read) == ("You greet Sari.", 1)

    setups = Setups(a_setup(), known=a_setup(models=[]))
    await ProcessingService(setups, runner).process_multi_agent(a_request())
    assert (runner.asked["config"].name, setups.freshly_read) == ("smart", 1)


async def test_what_is_known_is_not_read_again() -> None:
    setups = Setups(a_setup())
    service = ProcessingService(setups, Runner())
    await service.process(a_request())
    await service.process_multi_agent(a_request(template_name="nowhere"))
    assert setups.freshly_read == 0


@pytest.mark.parametrize("answerer", [AgentType.MAIN, AgentType.FALLBACK, AgentType.FOLLOWUP])
async def test_the_version_that_is_kept_is_that_of_the_agent_who_answered(
    answerer: AgentType,
) -> None:
    setup = a_setup()
    template = a_template(f"{answerer}-agent", "You are new.", version=9)
    setup = a_setup(templates={**setup.templates, template.name: template})
    record = RunRecord()
    service = ProcessingService(Setups(setup), Runner(answerer))
    result = await service.process_multi_agent(a_request(), record=record)
    assert (result.agent_type, record.template_version) == (answerer.value, 9)


async def test_each_agent_has_its_own_prompt_models_and_settings() -> None:
    special = AgentConfig(
        name="smart",
        type=AgentType.MODERATION,
        template_name="moderation-agent",
        llm_config_name="fast",
        temperature=0.0,
        max_tokens=64,
        max_retries=0,
    )
    runner = Runner()
    setup = a_setup(agents=[*a_setup().agents, special])
    await ProcessingService(Setups(setup), runner).process_multi_agent(a_request())
    agents = runner.asked["agents"]
    assert set(agents) == set(AgentType)
    main, moderation = agents[AgentType.MAIN], agents[AgentType.MODERATION]
    assert (main.system_prompt, names(main.models)) == ("You are main.", ["smart", "fast"])
    assert names(moderation.models) == ["fast"]
    assert moderation.models[0].max_tokens == 64
    assert (main.max_retries, moderation.max_retries) == (None, 0)
