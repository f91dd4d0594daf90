"""Which model answers, where it lives, and whose key pays for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from llm_worker.domain.value_objects.api_key import ApiKey
from llm_worker.domain.value_objects.model_name import ModelName
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.domain.value_objects.temperature import Temperature
from shared.kernel.errors import Forbidden, Invalid
from shared.kernel.ids import TenantId


class InvalidLLMConfig(Invalid, ValueError):
    """The settings of this model contradict each other."""

    code = "invalid_llm_config"


class KeyNotAllowed(Forbidden):
    """This configuration may not use that key."""

    code = "llm_key_not_allowed"


_CALM = Temperature(0.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMConfig:
    """One named model. ``tenant_id`` ``None`` is a row of the platform, written by its operator.

    The rules for keys hold from construction on:

    - a variable of the environment is named by platform rows only, and OPENAI_API_KEY and
      ANTHROPIC_API_KEY travel to that provider's own address, whatever else a row says;
    - a tenant's row brings its own key and never an environment variable's.

    Raises:
        InvalidLLMConfig: the address is no http(s) URL, or a number is out of range.
        KeyNotAllowed: a rule for keys is broken.
    """

    name: str
    provider: ProviderType
    model: ModelName
    tenant_id: TenantId | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    api_key: ApiKey | None = None
    temperature: Temperature = _CALM
    max_tokens: int = 1024
    timeout: timedelta | None = None
    """Longest wait for the whole answer; ``None`` takes LLM_DEFAULT_TIMEOUT_SECONDS."""
    active: bool = True

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise InvalidLLMConfig("max_tokens must be at least 1")
        if self.timeout is not None and self.timeout <= timedelta(0):
            raise InvalidLLMConfig("timeout must be more than 0 seconds")
        if self.provider.is_remote:
            _check_address(self.address)
            self._check_key_source()

    @property
    def address(self) -> str:
        """Where calls go: the row's own address, else the provider's.

        Raises:
            InvalidLLMConfig: neither exists.
        """
        address = self.base_url or self.provider.own_base_url
        if address is None:
            raise InvalidLLMConfig(f"{self.provider} needs a base_url")
        return address.rstrip("/")

    def check_key_variable(self, allow: Iterable[str]) -> None:
        """Make sure that the named variable is one the operator opened for models.

        ``allow`` holds names, or patterns with ``*``.

        Raises:
            KeyNotAllowed: it is not.
        """
        name = self.api_key_env
        if name is not None and not any(fnmatchcase(name, pattern) for pattern in allow):
            raise KeyNotAllowed(f"LLM_KEY_ENV_ALLOW does not list {name}")

    def _check_key_source(self) -> None:
        if self.tenant_id is not None and self.api_key is None:
            raise KeyNotAllowed("a tenant's model brings its own api_key")
        if self.api_key_env is None:
            return
        if self.tenant_id is not None:
            raise KeyNotAllowed("only the operator may name a variable of the environment")
        if self.api_key is not None:
            raise InvalidLLMConfig("give api_key or api_key_env, not both")
        if self.api_key_env in _RESERVED and self.api_key_env != self.provider.own_key_variable:
            raise KeyNotAllowed(f"{self.api_key_env} belongs to another provider")
        own = self.provider.own_base_url
        if own is not None and self.address != own:
            raise KeyNotAllowed(f"{self.api_key_env} is sent to {own} only")


_RESERVED = frozenset(
    variable for provider in ProviderType if (variable := provider.own_key_variable) is not None
)


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidLLMConfig("base_url is not an address") from error
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidLLMConfig("base_url must start with http:// or https:// and name a host")
    if parts.username is not None or parts.query or parts.fragment:
        raise InvalidLLMConfig("base_url holds no user, query or fragment")
