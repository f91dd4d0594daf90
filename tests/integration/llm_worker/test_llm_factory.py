"""Which key goes where, what the environment may say, and what is loaded when."""

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import httpx2
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage

from llm_worker.domain.entities.llm_config import InvalidLLMConfig, KeyNotAllowed, LLMConfig
from llm_worker.domain.value_objects.api_key import ApiKey
from llm_worker.domain.value_objects.model_name import ModelName
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.infrastructure.llm.client_pool import ClientPool
from llm_worker.infrastructure.llm.errors import ModelKeyInvalid, as_platform_error
from llm_worker.infrastructure.llm.offline_model import OfflineChatModel
from shared.kernel.ids import TenantId
from shared.security.outbound import AddressRefused, safe_transport
from tests.integration.llm_worker.conftest import MakeFactory, Provider
from tests.support.fake_llm import FakeLlm

OFFLINE = LLMConfig(name="offline", provider=ProviderType.OFFLINE, model=ModelName("offline-demo"))


def a_local_config(llm: FakeLlm, **changes: object) -> LLMConfig:
    config = LLMConfig(
        name="local",
        provider=ProviderType.OPENAI_COMPATIBLE,
        model=ModelName("m"),
        base_url=llm.openai_url,
    )
    return replace(config, **changes)


async def test_the_offline_model_needs_nothing(make_factory: MakeFactory) -> None:
    assert isinstance(make_factory().create(OFFLINE), OfflineChatModel)
    assert make_factory().key_digest(OFFLINE) == ""


async def test_scripted_models_exist_where_a_script_is_given(make_factory: MakeFactory) -> None:
    scripted = replace(OFFLINE, provider=ProviderType.SCRIPTED)
    with pytest.raises(InvalidLLMConfig):
        make_factory().create(scripted)
    given = OfflineChatModel()
    assert make_factory(scripted=lambda _: given).create(scripted) is given


async def test_a_listed_variable_is_read_at_each_call(
    make_factory: MakeFactory, llm: FakeLlm
) -> None:
    environment = {"LLM_KEY_LOCAL": "first"}
    factory = make_factory(environment=environment)
    config = a_local_config(llm, api_key_env="LLM_KEY_LOCAL")
    await factory.create(config).ainvoke("hi")
    digest = factory.key_digest(config)
    environment["LLM_KEY_LOCAL"] = "second"
    await factory.create(config).ainvoke("hi")
    assert [request.key for request in llm.requests] == ["first", "second"]
    assert factory.key_digest(config) != digest
    del environment["LLM_KEY_LOCAL"]
    with pytest.raises(ModelKeyInvalid, match="LLM_KEY_LOCAL is not set"):
        factory.create(config)


async def test_an_unlisted_variable_is_refused(make_factory: MakeFactory, llm: FakeLlm) -> None:
    factory = make_factory(environment={"MASTER_KEY": "secret"})
    with pytest.raises(KeyNotAllowed):
        factory.create(a_local_config(llm, api_key_env="MASTER_KEY"))
    assert llm.requests == []


async def test_a_server_without_keys_is_told_none_of_ours(
    make_factory: MakeFactory, llm: FakeLlm
) -> None:
    await make_factory().create(a_local_config(llm)).ainvoke("hi")
    assert llm.requests[0].key == "not-needed"


async def test_the_operators_key_is_the_settings(make_factory: MakeFactory) -> None:
    config = LLMConfig(
        name="smart",
        provider=ProviderType.OPENAI,
        model=ModelName("gpt-5"),
        api_key_env="OPENAI_API_KEY",
    )
    factory = make_factory(environment={"OPENAI_API_KEY": "not this"})
    assert factory.key_digest(config) == factory.key_digest(
        replace(config, api_key_env=None, api_key=ApiKey("sk-the-operators"), tenant_id=_a_tenant())
    )
    anthropic = replace(config, provider=ProviderType.ANTHROPIC, api_key_env="ANTHROPIC_API_KEY")
    with pytest.raises(ModelKeyInvalid):
        factory.create(anthropic)


async def test_the_environment_changes_nothing(
    make_factory: MakeFactory, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "OPENAI_API_KEY": "env-key",
        "OPENAI_ADMIN_KEY": "env-admin",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/env",
        "OPENAI_API_BASE": "http://127.0.0.1:9/env",
        "OPENAI_ORG_ID": "env-org",
        "OPENAI_ORGANIZATION": "env-org",
        "OPENAI_PROJECT_ID": "env-project",
        "OPENAI_PROXY": "http://127.0.0.1:9",
        "OPENAI_CUSTOM_HEADERS": "x-env: env",
        "ANTHROPIC_API_KEY": "env-key",
        "ANTHROPIC_AUTH_TOKEN": "env-token",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9/env",
        "ANTHROPIC_API_URL": "http://127.0.0.1:9/env",
        "ANTHROPIC_PROXY": "http://127.0.0.1:9",
        "ANTHROPIC_CUSTOM_HEADERS": "x-env: env",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    await make_factory().create(provider.config()).ainvoke("hi")
    (request,) = provider.llm.requests
    sent = f"{request.headers} {request.body}"
    assert "env" not in sent.replace("environment", "")


async def test_private_addresses_need_the_operators_list(
    make_factory: MakeFactory, provider: Provider
) -> None:
    factory = make_factory(transport=lambda: safe_transport([]))
    with pytest.raises(Exception) as caught:
        await factory.create(provider.config()).ainvoke("hi")
    assert isinstance(as_platform_error(caught.value), AddressRefused)
    assert provider.llm.connections == 0


async def test_loading_a_provider_does_not_block_the_loop(make_factory: MakeFactory) -> None:
    factory = make_factory()
    for provider in ProviderType:
        await factory.load(provider)
    assert "llm_worker.infrastructure.llm.providers.anthropic_chat" in sys.modules


@pytest.mark.parametrize("grace", [timedelta(0), timedelta(hours=1)])
async def test_clients_of_old_keys_make_room_and_are_closed(grace: timedelta) -> None:
    pool = ClientPool(lambda: safe_transport([]), capacity=2, grace=grace)
    built: list[httpx2.AsyncClient] = []

    def build(*, base_url: str, api_key: str, http: httpx2.AsyncClient) -> str:
        built.append(http)
        return api_key

    for key in ("one", "one", "two", "three", "one"):
        assert pool.get("p", "https://x", key, build) == key
    assert len(built) == 4
    if not grace:
        async with asyncio.timeout(5):
            while not built[0].is_closed:
                await asyncio.sleep(0)
        assert not built[3].is_closed
    await pool.aclose()
    assert all(http.is_closed for http in built)


def test_the_offline_model_loads_no_sdk() -> None:
    loaded = _python(
        """
        import asyncio
        from llm_worker.domain.entities.llm_config import LLMConfig
        from llm_worker.domain.value_objects.model_name import ModelName
        from llm_worker.domain.value_objects.provider import ProviderType
        from llm_worker.infrastructure.llm.llm_factory import LLMFactory
        from shared.config.settings import LlmSettings

        async def main():
            factory = LLMFactory(LlmSettings(), transport=None)
            config = LLMConfig(name="o", provider=ProviderType.OFFLINE, model=ModelName("o"))
            await factory.load(config.provider)
            print((await factory.create(config).ainvoke("halo")).text)

        asyncio.run(main())
        import sys
        print(sorted({name.partition(".")[0] for name in sys.modules}))
        """
    )
    assert "Halo kak" in loaded
    for name in ("openai", "anthropic", "langchain_openai", "langchain_anthropic", "tiktoken"):
        assert f"'{name}'" not in loaded


def test_the_factory_alone_loads_no_langchain() -> None:
    began = time.monotonic()
    loaded = _python(
        """
        import llm_worker.infrastructure.llm.llm_factory
        import sys
        print(sorted({name.partition(".")[0] for name in sys.modules}))
        """
    )
    assert time.monotonic() - began < 10
    for name in ("langchain_core", "openai", "anthropic"):
        assert f"'{name}'" not in loaded


def test_prompts_are_not_sent_to_a_tracing_service() -> None:
    out = _python(
        """
        from llm_worker.infrastructure.llm.llm_factory import switch_tracing_off
        switch_tracing_off()
        from langsmith.utils import tracing_is_enabled
        print(tracing_is_enabled())
        """,
        LANGSMITH_TRACING="true",
        LANGCHAIN_TRACING_V2="true",
        LANGSMITH_API_KEY="x",
    )
    assert out.strip() == "False"


async def test_one_factory_serves_several_loops(make_factory: MakeFactory, llm: FakeLlm) -> None:
    """The embedded profile runs one loop, tests several: clients never cross them."""
    factory, config = make_factory(), a_local_config(llm)
    await factory.create(config).ainvoke("hi")

    def elsewhere() -> str:
        async def ask() -> str:
            model: BaseChatModel = factory.create(config)
            answer = await model.ainvoke([HumanMessage("there")])
            await factory.aclose()
            return str(answer.text)

        return asyncio.run(ask())

    assert await asyncio.to_thread(elsewhere) == "echo: there"
    await factory.create(config).ainvoke("hi")
    assert llm.connections == 2


def _a_tenant() -> TenantId:
    return TenantId(uuid4())


def _python(script: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
