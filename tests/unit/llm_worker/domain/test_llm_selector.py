from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.domain.repositories.llm_config_repository import LLMConfigNotFound
from llm_worker.domain.services.llm_selector import NoModelFits, select_models
from llm_worker.domain.value_objects.model_name import ModelName
from llm_worker.domain.value_objects.provider import ProviderType


def model(name: str, price: str | None = None, **changes: Any) -> LLMConfig:
    config = LLMConfig(
        name=name,
        provider=ProviderType.OPENAI,
        model=ModelName("m"),
        api_key_env="OPENAI_API_KEY",
        price_in_per_million=price and Decimal(price),
        price_out_per_million=price and Decimal(price),
        max_tokens=100,
    )
    return replace(config, **changes)


OFFLINE = model("offline", "0", provider=ProviderType.OFFLINE, api_key_env=None)
SMART = model("smart", "10", fallbacks=("fast", "gone", "wide"), context_tokens=1000)
FAST = model("fast", "1", context_tokens=500)
WIDE = model("wide", "20", context_tokens=9000)
CHEAP = model("cheap", "0.5", context_tokens=2000)
CHEAPEST = model("cheapest", "0.1", context_tokens=100)
UNPRICED = model("a-unpriced", context_tokens=9000)
ALL = [OFFLINE, SMART, FAST, WIDE, CHEAP, CHEAPEST, UNPRICED]


def chosen(requested: str, configs: list[LLMConfig], prompt_tokens: int = 0) -> list[str]:
    models = select_models(requested, configs, prompt_tokens=prompt_tokens)
    return [config.name for config in models]


def without(*names: str) -> list[LLMConfig]:
    return [replace(each, active=each.active and each.name not in names) for each in ALL]


def test_the_requested_comes_first_and_then_its_fallbacks_in_their_order() -> None:
    assert chosen("smart", ALL) == ["smart", "fast", "wide"]
    assert chosen("cheap", ALL) == ["cheap"]


def test_the_inactive_are_passed_over() -> None:
    assert chosen("smart", without("smart")) == ["fast", "wide"]
    assert chosen("smart", without("smart", "fast")) == ["wide"]


def test_those_that_the_prompt_does_not_fit_are_passed_over() -> None:
    assert chosen("smart", ALL, 500) == ["smart", "fast", "wide"]
    assert chosen("smart", ALL, 501) == ["smart", "wide"]
    assert chosen("smart", ALL, 1001) == ["wide"]


def test_with_nobody_left_the_cheapest_that_it_fits_answers() -> None:
    nobody = without("smart", "fast", "wide")
    assert chosen("smart", nobody) == ["cheapest"]
    assert chosen("smart", nobody, 101) == ["cheap"]
    assert chosen("smart", nobody, 2001) == ["a-unpriced"]
    assert chosen("smart", without("smart", "fast", "wide", "cheap", "cheapest")) == ["a-unpriced"]


def test_the_cheapest_is_the_cheapest_for_a_prompt_of_this_size() -> None:
    reads_cheaply = model(
        "reads", price_in_per_million=Decimal(1), price_out_per_million=Decimal(9)
    )
    writes_cheaply = model(
        "writes", price_in_per_million=Decimal(3), price_out_per_million=Decimal(1)
    )
    off = model("off", active=False)
    configs = [reads_cheaply, writes_cheaply, off]
    assert chosen("off", configs, 10) == ["writes"]
    assert chosen("off", configs, 10_000) == ["reads"]


def test_of_equally_cheap_ones_the_name_decides() -> None:
    configs = [model("b", "1"), model("a", "1"), model("off", active=False)]
    assert chosen("off", configs) == ["a"]


def test_the_demo_model_answers_only_who_asks_for_it() -> None:
    assert chosen("offline", ALL) == ["offline"]
    assert chosen("x", [model("x", fallbacks=("offline",), active=False), OFFLINE]) == ["offline"]
    with pytest.raises(NoModelFits):
        select_models("x", [model("x", active=False), OFFLINE])


def test_a_prompt_that_fits_nobody_is_told_so() -> None:
    with pytest.raises(NoModelFits) as refused:
        select_models("smart", ALL, prompt_tokens=9001)
    assert refused.value.data == {"prompt_tokens": 9001}


def test_an_unknown_name_is_said() -> None:
    with pytest.raises(LLMConfigNotFound, match="no model named gone"):
        select_models("gone", ALL)
