"""Which model answers, where it lives, and whose key pays for it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import ROUND_CEILING, Decimal
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from llm_worker.domain.value_objects.api_key import ApiKey
from llm_worker.domain.value_objects.model_name import ModelName
from llm_worker.domain.value_objects.name import InvalidName, checked_name
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.domain.value_objects.structured_output import StructuredOutput
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
_MOST_FALLBACKS = 5
_LONGEST_LEAST_ANSWER = 10_000
_FREE = Decimal(0)
_DEAREST = Decimal(1_000_000)
_FINEST_PRICE = Decimal("0.000001")
_NANOS_PER_TOKEN = 1000
"""Billionths of a dollar for one token where a million of them cost one dollar."""


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
    min_answer_length: int = 1
    """Fewer visible characters are no answer."""
    price_in_per_million: Decimal | None = None
    """US dollars for a million tokens of prompt; ``None``: not known."""
    price_out_per_million: Decimal | None = None
    fallbacks: tuple[str, ...] = ()
    """Models to ask in this order when this one cannot answer."""
    structured_output: StructuredOutput = StructuredOutput.AUTO
    context_tokens: int | None = None
    """The largest prompt it takes; ``None``: not known, so everything is tried."""
    version: int = field(default=1, compare=False)
    """Which of the configurations saved under this name it is; saving makes the next one."""

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise InvalidLLMConfig("max_tokens must be at least 1")
        if not 1 <= self.min_answer_length <= _LONGEST_LEAST_ANSWER:
            raise InvalidLLMConfig("min_answer_length lies in 1 to 10000")
        if self.context_tokens is not None and self.context_tokens < 1:
            raise InvalidLLMConfig("context_tokens must be at least 1")
        _check_price("price_in_per_million", self.price_in_per_million)
        _check_price("price_out_per_million", self.price_out_per_million)
        self._check_fallbacks()
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

    @property
    def has_price(self) -> bool:
        return self.price_in_per_million is not None and self.price_out_per_million is not None

    def fits(self, prompt_tokens: int) -> bool:
        """Whether it takes a prompt of that size, as far as is known."""
        return self.context_tokens is None or prompt_tokens <= self.context_tokens

    def cost_nanos(self, tokens_in: int, tokens_out: int) -> int:
        """What a call cost in billionths of a US dollar, rounded up; an unknown price counts 0."""
        cost = tokens_in * (self.price_in_per_million or _FREE)
        cost += tokens_out * (self.price_out_per_million or _FREE)
        return int((cost * _NANOS_PER_TOKEN).to_integral_value(ROUND_CEILING))

    def check_key_variable(self, allow: Iterable[str]) -> None:
        """Make sure that the named variable is one the operator opened for models.

        ``allow`` holds names, or patterns with ``*``.

        Raises:
            KeyNotAllowed: it is not.
        """
        name = self.api_key_env
        if name is not None and not any(fnmatchcase(name, pattern) for pattern in allow):
            raise KeyNotAllowed(f"LLM_KEY_ENV_ALLOW does not list {name}")

    def _check_fallbacks(self) -> None:
        if len(self.fallbacks) > _MOST_FALLBACKS:
            raise InvalidLLMConfig(f"there are at most {_MOST_FALLBACKS} fallbacks")
        if len({self.name, *self.fallbacks}) <= len(self.fallbacks):
            raise InvalidLLMConfig("fallbacks are other models, each once")
        try:
            for name in self.fallbacks:
                checked_name(name)
        except InvalidName as error:
            raise InvalidLLMConfig("a fallback is the name of a model") from error

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


def _check_price(field: str, price: Decimal | None) -> None:
    if price is None:
        return
    if not price.is_finite() or not 0 <= price < _DEAREST:
        raise InvalidLLMConfig(f"{field} lies in 0 to 999999.999999 US dollars")
    if price != price.quantize(_FINEST_PRICE):
        raise InvalidLLMConfig(f"{field} has at most 6 decimals")


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
