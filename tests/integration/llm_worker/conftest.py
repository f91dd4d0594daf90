"""Model servers over real HTTP, in both shapes."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from pydantic import SecretStr

from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.domain.value_objects.api_key import ApiKey
from llm_worker.domain.value_objects.model_name import ModelName
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.infrastructure.llm.llm_factory import LLMFactory
from shared.config.settings import LlmSettings
from shared.kernel.ids import TenantId
from shared.security.outbound import safe_transport
from tests.support.fake_llm import FakeLlm

KEY = "sk-canary-4711"

SEARCH = {
    "type": "function",
    "function": {
        "name": "search_products",
        "description": "Find products.",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string"}},
            "required": ["query"],
        },
    },
}
STOCK = {
    "type": "function",
    "function": {
        "name": "check_stock",
        "description": "Look up stock.",
        "parameters": {
            "type": "object",
            "properties": {"product": {"type": "string"}},
            "required": ["product"],
        },
    },
}


@dataclass(frozen=True)
class Provider:
    """A fake server and how it is configured."""

    llm: FakeLlm
    shape: str

    def config(self, **changes: Any) -> LLMConfig:
        is_openai = self.shape == "openai"
        values: dict[str, Any] = {
            "name": f"fake-{self.shape}",
            "tenant_id": TenantId(uuid4()),
            "provider": ProviderType.OPENAI_COMPATIBLE if is_openai else ProviderType.ANTHROPIC,
            "base_url": self.llm.openai_url if is_openai else self.llm.anthropic_url,
            "model": ModelName("fake-model"),
            "api_key": ApiKey(KEY),
            "timeout": timedelta(seconds=5),
        }
        return LLMConfig(**{**values, **changes})


@pytest.fixture(params=["openai", "anthropic"])
def shape(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture
async def llm() -> AsyncIterator[FakeLlm]:
    async with FakeLlm() as server:
        yield server


@pytest.fixture
def provider(llm: FakeLlm, shape: str) -> Provider:
    return Provider(llm, shape)


@pytest.fixture
def settings() -> LlmSettings:
    return LlmSettings(
        openai_api_key=SecretStr("sk-the-operators"),
        anthropic_api_key=None,
        llm_retry_initial_delay=timedelta(milliseconds=1),
    )


MakeFactory = Callable[..., LLMFactory]


@pytest_asyncio.fixture
async def make_factory(settings: LlmSettings) -> AsyncIterator[MakeFactory]:
    made: list[LLMFactory] = []

    def make(**changes: Any) -> LLMFactory:
        values: dict[str, Any] = {"transport": lambda: safe_transport(["127.0.0.1"])}
        made.append(LLMFactory(settings, **{**values, **changes}))
        return made[-1]

    yield make
    for factory in made:
        await factory.aclose()


@pytest.fixture
def factory(make_factory: MakeFactory) -> LLMFactory:
    return make_factory()
