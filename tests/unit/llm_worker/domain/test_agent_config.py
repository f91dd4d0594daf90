from dataclasses import replace
from typing import Any

import pytest

from llm_worker.domain.entities.agent_config import AgentConfig, AgentType, InvalidAgentConfig
from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.domain.value_objects.model_name import ModelName
from llm_worker.domain.value_objects.name import InvalidName
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.domain.value_objects.temperature import Temperature

MODEL = LLMConfig(
    name="offline",
    provider=ProviderType.OFFLINE,
    model=ModelName("offline-demo"),
    temperature=Temperature(0.7),
    max_tokens=500,
)
AGENT = AgentConfig(name="default", type=AgentType.MAIN, template_name="main-agent")


def test_the_types_are_those_of_the_guide() -> None:
    assert [kind.value for kind in AgentType] == ["main", "fallback", "followup", "moderation"]


def test_what_an_agent_does_not_say_is_the_models() -> None:
    assert AGENT.tuned(MODEL) == MODEL


def test_an_agent_has_its_own_way_with_a_model() -> None:
    agent = replace(AGENT, temperature=Temperature(0.0), max_tokens=20)
    assert agent.tuned(MODEL) == replace(MODEL, temperature=Temperature(0.0), max_tokens=20)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"name": " x"}, InvalidName),
        ({"template_name": ""}, InvalidName),
        ({"llm_config_name": ""}, InvalidName),
        ({"max_tokens": 0}, InvalidAgentConfig),
        ({"max_retries": -1}, InvalidAgentConfig),
        ({"max_retries": 21}, InvalidAgentConfig),
    ],
)
def test_what_is_out_of_range_is_refused(changes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        replace(AGENT, **changes)


def test_the_ends_of_the_ranges_are_in() -> None:
    for changes in ({"max_retries": 0}, {"max_retries": 20}, {"max_tokens": 1}):
        replace(AGENT, **changes)
