from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from llm_worker.domain.entities.llm_config import InvalidLLMConfig, KeyNotAllowed, LLMConfig
from llm_worker.domain.value_objects.api_key import ApiKey
from llm_worker.domain.value_objects.model_name import InvalidModelName, ModelName
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.domain.value_objects.temperature import InvalidTemperature, Temperature
from shared.kernel.ids import TenantId

TENANT = TenantId(uuid4())
OPENAI = LLMConfig(
    name="smart",
    provider=ProviderType.OPENAI,
    model=ModelName("gpt-5"),
    api_key_env="OPENAI_API_KEY",
)


def test_the_providers_own_address_is_the_default() -> None:
    assert OPENAI.address == "https://api.openai.com/v1"
    local = replace(
        OPENAI,
        provider=ProviderType.OPENAI_COMPATIBLE,
        api_key_env=None,
        base_url="http://localhost:11434/v1/",
    )
    assert local.address == "http://localhost:11434/v1"


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": "https://evil.example/v1"},
        {"provider": ProviderType.OPENAI_COMPATIBLE, "base_url": "https://evil.example/v1"},
        {"provider": ProviderType.ANTHROPIC},
        {"tenant_id": TENANT},
        {"tenant_id": TENANT, "api_key": ApiKey("x")},
        {"tenant_id": TENANT, "api_key_env": None},
    ],
)
def test_the_operators_key_goes_to_its_own_provider_only(changes: dict[str, object]) -> None:
    with pytest.raises(KeyNotAllowed):
        replace(OPENAI, **changes)


def test_a_tenant_brings_its_own_key_to_any_address() -> None:
    config = replace(
        OPENAI,
        tenant_id=TENANT,
        api_key_env=None,
        api_key=ApiKey("theirs"),
        base_url="https://proxy.example/v1",
    )
    assert config.address == "https://proxy.example/v1"


def test_other_variables_may_serve_other_servers() -> None:
    config = replace(
        OPENAI,
        provider=ProviderType.OPENAI_COMPATIBLE,
        base_url="https://openrouter.ai/api/v1",
        api_key_env="LLM_KEY_OPENROUTER",
    )
    config.check_key_variable(("OPENAI_API_KEY", "LLM_KEY_*"))
    with pytest.raises(KeyNotAllowed):
        config.check_key_variable(("OPENAI_API_KEY",))


@pytest.mark.parametrize(
    "base_url",
    ["ftp://x", "file:///etc/passwd", "x", "http://", "http://u:p@h/", "http://h/?q", "http://h:x"],
)
def test_an_address_is_an_address(base_url: str) -> None:
    with pytest.raises(InvalidLLMConfig):
        replace(
            OPENAI,
            provider=ProviderType.OPENAI_COMPATIBLE,
            api_key_env=None,
            base_url=base_url,
        )


def test_numbers_have_ranges() -> None:
    for changes in ({"max_tokens": 0}, {"timeout": timedelta(0)}):
        with pytest.raises(InvalidLLMConfig):
            replace(OPENAI, **changes)
    for value in (-0.1, 2.1, float("nan")):
        with pytest.raises(InvalidTemperature):
            Temperature(value)
    for name in ("", " x", "x\n", "x" * 201):
        with pytest.raises(InvalidModelName):
            ModelName(name)


def test_a_key_shows_itself_to_nobody() -> None:
    config = replace(OPENAI, tenant_id=TENANT, api_key_env=None, api_key=ApiKey("sk-secret"))
    assert "secret" not in f"{config!r} {config} {config.api_key} {config.api_key!r}"
    assert config.api_key is not None
    assert config.api_key.get_secret_value() == "sk-secret"
