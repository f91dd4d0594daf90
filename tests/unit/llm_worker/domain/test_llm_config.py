from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
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


@pytest.mark.parametrize(
    "changes",
    [
        {"min_answer_length": 0},
        {"min_answer_length": 10_001},
        {"context_tokens": 0},
        {"price_in_per_million": Decimal("-0.1")},
        {"price_out_per_million": Decimal(1_000_000)},
        {"price_in_per_million": Decimal("0.0000001")},
        {"price_in_per_million": Decimal("NaN")},
        {"price_in_per_million": Decimal("Infinity")},
        {"fallbacks": tuple("abcdef")},
        {"fallbacks": ("a", "a")},
        {"fallbacks": ("smart",)},
        {"fallbacks": ("",)},
        {"fallbacks": (" a",)},
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidLLMConfig):
        replace(OPENAI, **changes)


def test_the_ends_of_the_ranges_are_in() -> None:
    for changes in (
        {"min_answer_length": 10_000, "context_tokens": 1},
        {"price_in_per_million": Decimal("999999.999999"), "price_out_per_million": Decimal(0)},
        {"fallbacks": tuple("abcde")},
    ):
        config = replace(OPENAI, **changes)
        assert all(getattr(config, name) == value for name, value in changes.items())


def test_what_is_not_said_has_a_usual_value() -> None:
    assert (OPENAI.min_answer_length, OPENAI.fallbacks, OPENAI.context_tokens) == (1, (), None)
    assert OPENAI.structured_output == "auto"
    assert OPENAI.fits(10**9)


def test_a_call_costs_what_the_price_list_says_in_billionths() -> None:
    config = replace(
        OPENAI,
        price_in_per_million=Decimal("1.25"),
        price_out_per_million=Decimal(10),
    )
    assert config.cost_nanos(1_000_000, 1_000_000) == 11_250_000_000
    assert config.cost_nanos(7, 3) == 7 * 1250 + 3 * 10_000
    assert config.cost_nanos(0, 0) == 0
    assert replace(config, price_in_per_million=Decimal("0.000001")).cost_nanos(1, 0) == 1
    assert OPENAI.cost_nanos(1000, 1000) == 0
    assert (config.has_price, OPENAI.has_price) == (True, False)
    assert not replace(config, price_out_per_million=None).has_price


def test_a_prompt_fits_up_to_the_models_size() -> None:
    config = replace(OPENAI, context_tokens=100)
    assert (config.fits(100), config.fits(101)) == (True, False)
