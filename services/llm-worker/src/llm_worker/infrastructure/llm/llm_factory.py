"""From a configuration to a LangChain model that is ready to be called.

This module loads no provider SDK and not LangChain either: each provider's module is imported when
its first model is made, because they cost seconds and most processes use one of them.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from typing import TYPE_CHECKING, Any

from llm_worker.domain.entities.llm_config import InvalidLLMConfig, LLMConfig
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.infrastructure.llm.client_pool import ClientPool, Transport
from llm_worker.infrastructure.llm.errors import ModelKeyInvalid
from shared.config.settings import LlmSettings

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from llm_worker.infrastructure.llm.prepared import PreparedModel

_MOST_PER_ACCOUNT = 32
_NO_KEY = "not-needed"
"""What a server that asks for no key is told; the SDKs insist on sending one."""

_MODULES = {
    ProviderType.OPENAI: "llm_worker.infrastructure.llm.providers.openai_chat",
    ProviderType.OPENAI_COMPATIBLE: "llm_worker.infrastructure.llm.providers.openai_chat",
    ProviderType.ANTHROPIC: "llm_worker.infrastructure.llm.providers.anthropic_chat",
    ProviderType.OFFLINE: "llm_worker.infrastructure.llm.offline_model",
}


@dataclass(frozen=True, slots=True)
class _Account:
    """A provider's client with one key, and the models that are asked through it."""

    client: Any
    prepared: "dict[tuple[Any, ...], PreparedModel]" = field(default_factory=dict)


class LLMFactory:
    """Makes models. One factory lives as long as its process; `aclose` ends its connections.

    ``transport`` makes the HTTP transport of each client and so decides what may be reached.
    ``scripted`` makes the models of provider ``scripted``; without it that provider is refused.
    Every model has the SDK's own retries off, a time limit, and an explicit address: nothing is
    taken from the environment but the key that its configuration names.
    """

    def __init__(
        self,
        settings: LlmSettings,
        *,
        transport: Transport,
        scripted: "Callable[[LLMConfig], BaseChatModel] | None" = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._settings = settings
        self._scripted = scripted
        self._environment = environment
        self._clients = ClientPool(transport)
        self._offline_model: BaseChatModel | None = None
        self._local: PreparedModel | None = None

    def create(self, config: LLMConfig) -> "BaseChatModel":
        """Make the model that ``config`` describes. Needs a running event loop.

        Raises:
            KeyNotAllowed: LLM_KEY_ENV_ALLOW does not list the configuration's variable.
            ModelKeyInvalid: that variable is empty, or the provider needs a key and has none.
            InvalidLLMConfig: provider ``scripted`` without a script.
        """
        if config.provider.is_offline:
            return self._offline()
        if config.provider.is_scripted:
            if self._scripted is None:
                raise InvalidLLMConfig("scripted models exist in tests only")
            return self._scripted(config)
        account = self._account(config, self._key(config))
        if config.provider.is_anthropic:
            return self._anthropic(config, account.client)
        return self._openai(config, account.client)

    def prepare(self, config: LLMConfig) -> "PreparedModel":
        """The model that ``config`` describes, the same as long as it describes the same.

        Raises: as `create`.
        """
        from llm_worker.infrastructure.llm.prepared import PreparedModel

        if not config.provider.is_remote:
            model = self.create(config)
            if self._local is None or self._local.model is not model:
                self._local = PreparedModel(model)
            return self._local
        prepared = self._account(config, self._key(config)).prepared
        as_set = (config.model, config.temperature, config.max_tokens, config.timeout)
        if as_set not in prepared:
            if len(prepared) >= _MOST_PER_ACCOUNT:
                prepared.clear()
            prepared[as_set] = PreparedModel(self.create(config))
        return prepared[as_set]

    async def load(self, provider: ProviderType) -> None:
        """Import what ``provider`` needs, in a thread: an SDK takes seconds the loop cannot spare.

        `create` works without it, and blocks for as long.
        """
        module = _MODULES.get(provider)
        if module is not None and module not in sys.modules:
            await asyncio.to_thread(import_module, module)

    def key_digest(self, config: LLMConfig) -> str:
        """A short digest that tells keys apart and gives none away; empty where there is no key.

        Raises:
            KeyNotAllowed, ModelKeyInvalid: as `create`.
        """
        if not config.provider.is_remote:
            return ""
        return sha256(self._key(config).encode()).hexdigest()[:12]

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._clients.aclose()

    def _offline(self) -> "BaseChatModel":
        from llm_worker.infrastructure.llm.offline_model import OfflineChatModel

        if self._offline_model is None:
            self._offline_model = OfflineChatModel()
        return self._offline_model

    def _account(self, config: LLMConfig, key: str) -> "_Account":
        """Where this configuration's calls go, with that key."""
        module = import_module(_MODULES[config.provider])

        def build(**address: Any) -> _Account:
            return _Account(module.build_client(**address))

        return self._clients.get(config.provider, config.address, key, build)

    def _openai(self, config: LLMConfig, client: Any) -> "BaseChatModel":
        from llm_worker.infrastructure.llm.providers import openai_chat

        return openai_chat.build_model(
            client,
            model=str(config.model),
            temperature=float(config.temperature),
            max_tokens=config.max_tokens,
            timeout_seconds=self._timeout_seconds(config),
            own_api=config.provider.is_openai and config.address == config.provider.own_base_url,
        )

    def _anthropic(self, config: LLMConfig, client: Any) -> "BaseChatModel":
        from llm_worker.infrastructure.llm.providers import anthropic_chat

        return anthropic_chat.build_model(
            client,
            model=str(config.model),
            temperature=float(config.temperature),
            max_tokens=config.max_tokens,
            timeout_seconds=self._timeout_seconds(config),
        )

    def _timeout_seconds(self, config: LLMConfig) -> float:
        return (config.timeout or self._settings.llm_default_timeout_seconds).total_seconds()

    def _key(self, config: LLMConfig) -> str:
        """Look the key up now, so that a rotated one works with the next call."""
        if config.api_key is not None:
            return config.api_key.get_secret_value()
        if config.api_key_env is None:
            if config.provider.is_openai_compatible:
                return _NO_KEY
            raise ModelKeyInvalid(f"The model {config.name} has no key")
        config.check_key_variable(self._settings.llm_key_env_allow)
        key = self._variable(config.api_key_env)
        if not key:
            raise ModelKeyInvalid(f"{config.api_key_env} is not set")
        return key

    def _variable(self, name: str) -> str | None:
        own = {
            "OPENAI_API_KEY": self._settings.openai_api_key,
            "ANTHROPIC_API_KEY": self._settings.anthropic_api_key,
        }.get(name)
        return own.get_secret_value() if own is not None else self._environment.get(name)


def switch_tracing_off() -> None:
    """Keep prompts in this process: LangSmith would send them to its service if asked to by the
    environment. Called at the start of every process that runs models, before any is made."""
    for name in ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2"):
        os.environ[name] = "false"
    for name in ("LANGSMITH_GATEWAY", "LANGCHAIN_TRACING"):
        os.environ.pop(name, None)
