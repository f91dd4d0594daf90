"""Models, templates, agents and budgets over HTTP."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr

from gateway.interface.schemas.common import Answer, Cost, RequestBody, read
from llm_worker.application.probe import ProbeOutcome
from llm_worker.domain.entities.agent_config import AgentConfig, AgentType
from llm_worker.domain.entities.llm_budget import LLMBudget, LLMUsage, OverBudget
from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.domain.entities.prompt_template import LONGEST_BODY, PromptTemplate
from llm_worker.domain.repositories.llm_config_repository import LLMConfigVersion
from llm_worker.domain.value_objects.api_key import ApiKey
from llm_worker.domain.value_objects.model_name import ModelName
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.domain.value_objects.structured_output import StructuredOutput
from llm_worker.domain.value_objects.temperature import Temperature
from shared.kernel.ids import TenantId

NewName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="Letters, digits, `.`, `_`, `-`: it stands in addresses.",
        examples=["cashier"],
    ),
]
Degree = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Tokens = Annotated[int, Field(strict=True, ge=1, le=10_000_000)]
Version = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
Price = Annotated[
    Decimal,
    Field(ge=0, lt=1_000_000, max_digits=12, decimal_places=6, allow_inf_nan=False),
]


class LLMConfigBody(RequestBody):
    """A model as a whole: what is left out is as it normally is, but for the key."""

    provider: Literal["openai", "anthropic", "openai_compatible", "offline"]
    model: str = Field(min_length=1, max_length=200, examples=["gpt-5-mini"])
    base_url: str | None = Field(default=None, max_length=500)
    api_key: SecretStr | None = Field(
        default=None,
        min_length=1,
        max_length=500,
        description="Never shown again. Left out, the present one stays while the address does.",
    )
    temperature: Degree = 0.3
    max_tokens: Tokens = 1024
    timeout_seconds: float | None = Field(default=None, gt=0, le=3600, allow_inf_nan=False)
    min_answer_length: int = Field(default=1, strict=True, ge=1, le=10_000)
    price_in_per_million: Price | None = Field(
        default=None, description="US dollars for a million tokens of prompt."
    )
    price_out_per_million: Price | None = None
    fallbacks: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(
        default=[], max_length=5, description="Models to ask in this order instead."
    )
    structured_output: StructuredOutput = StructuredOutput.AUTO
    context_tokens: Tokens | None = Field(default=None, description="The largest prompt it takes.")

    @property
    def keeps_key(self) -> bool:
        return "api_key" not in self.model_fields_set

    def config(self, tenant_id: TenantId, name: str, kept: ApiKey | None = None) -> LLMConfig:
        """Raises `InvalidLLMConfig`, `KeyNotAllowed`, `InvalidModelName`."""
        key = None if self.api_key is None else ApiKey(self.api_key.get_secret_value())
        timeout = self.timeout_seconds
        return LLMConfig(
            name=name,
            tenant_id=tenant_id,
            provider=ProviderType(self.provider),
            model=ModelName(self.model),
            base_url=self.base_url,
            api_key=kept if self.keeps_key else key,
            temperature=Temperature(self.temperature),
            max_tokens=self.max_tokens,
            timeout=None if timeout is None else timedelta(seconds=timeout),
            min_answer_length=self.min_answer_length,
            price_in_per_million=self.price_in_per_million,
            price_out_per_million=self.price_out_per_million,
            fallbacks=tuple(self.fallbacks),
            structured_output=self.structured_output,
            context_tokens=self.context_tokens,
        )


class LLMConfigCreate(LLMConfigBody):
    name: NewName


class LLMConfigAnswer(Answer):
    name: str
    version: int
    platform: bool = Field(description="It is everybody's; save one of your own to differ.")
    provider: str
    model: str
    base_url: str | None
    has_key: bool = Field(description="Whether a key of yours is kept for it.")
    temperature: float
    max_tokens: int
    timeout_seconds: float | None
    min_answer_length: int
    price_in_per_million: str | None
    price_out_per_million: str | None
    fallbacks: list[str]
    structured_output: StructuredOutput
    context_tokens: int | None
    active: bool

    @classmethod
    def of(cls, config: LLMConfig) -> "LLMConfigAnswer":
        return cls(
            name=config.name,
            version=config.version,
            platform=config.tenant_id is None,
            provider=config.provider.value,
            model=str(config.model),
            base_url=config.base_url,
            has_key=config.api_key is not None,
            temperature=float(config.temperature),
            max_tokens=config.max_tokens,
            timeout_seconds=None if config.timeout is None else config.timeout.total_seconds(),
            min_answer_length=config.min_answer_length,
            price_in_per_million=_plain(config.price_in_per_million),
            price_out_per_million=_plain(config.price_out_per_million),
            fallbacks=list(config.fallbacks),
            structured_output=config.structured_output,
            context_tokens=config.context_tokens,
            active=config.active,
        )


class LLMConfigVersionAnswer(LLMConfigAnswer):
    created_at: datetime

    @classmethod
    def of_version(cls, saved: LLMConfigVersion) -> "LLMConfigVersionAnswer":
        return cls(**vars(LLMConfigAnswer.of(saved.config)), created_at=saved.created_at)


class ProbeError(Answer):
    code: str
    detail: str


class ProbeAnswer(Answer):
    config: str
    ok: bool = Field(description="The model answered.")
    model: str = Field(description="As its provider names it.")
    milliseconds: int
    tokens_in: int
    tokens_out: int
    error: ProbeError | None

    @classmethod
    def of(cls, outcome: ProbeOutcome) -> "ProbeAnswer":
        error = None
        if outcome.code is not None:
            error = ProbeError(code=outcome.code, detail=outcome.detail or "")
        return cls(**read(outcome, cls, but=("error",)), error=error)


class PromptTemplateBody(RequestBody):
    body: str = Field(
        max_length=LONGEST_BODY,
        description="`{{ name }}` and `{{ order.total }}` are places for values, `{{ note? }}` "
        "one that may be missing.",
    )
    description: str = Field(default="", max_length=500)
    publish: bool = Field(default=True, description="Let this version answer from now on.")


class PromptTemplateCreate(PromptTemplateBody):
    name: NewName


class PublishBody(RequestBody):
    version: Version


class RenderBody(RequestBody):
    variables: dict[str, Any] = {}
    version: Version | None = Field(default=None, description="Normally the published one.")


class RenderedAnswer(Answer):
    text: str


class PromptTemplateAnswer(Answer):
    name: str
    version: int
    platform: bool = Field(description="It is everybody's; save one of your own to differ.")
    body: str
    description: str
    variables: list[str] = Field(description="The values that it asks for.")
    published: bool

    @classmethod
    def of(cls, template: PromptTemplate) -> "PromptTemplateAnswer":
        return cls(
            name=template.name,
            version=template.version,
            platform=template.tenant_id is None,
            body=template.body,
            description=template.description,
            variables=sorted(template.names),
            published=template.active,
        )


class AgentConfigBody(RequestBody):
    """What is null is as the model's configuration has it."""

    template_name: str = Field(min_length=1, max_length=100)
    llm_config_name: str | None = Field(
        default=None, min_length=1, max_length=100, description="The model; normally the job's own."
    )
    temperature: Degree | None = None
    max_tokens: Tokens | None = None
    max_retries: int | None = Field(default=None, strict=True, ge=0, le=20)
    publish: bool = Field(default=True, description="Let this version answer from now on.")

    def agent(self, tenant_id: TenantId, name: str, kind: AgentType) -> AgentConfig:
        """Raises `InvalidName`."""
        return AgentConfig(
            name=name,
            type=kind,
            tenant_id=tenant_id,
            template_name=self.template_name,
            llm_config_name=self.llm_config_name,
            temperature=None if self.temperature is None else Temperature(self.temperature),
            max_tokens=self.max_tokens,
            max_retries=self.max_retries,
        )


class AgentConfigAnswer(Answer):
    name: str
    type: AgentType
    version: int
    platform: bool = Field(description="It is everybody's; save one of your own to differ.")
    template_name: str
    llm_config_name: str | None
    temperature: float | None
    max_tokens: int | None
    max_retries: int | None
    published: bool

    @classmethod
    def of(cls, agent: AgentConfig) -> "AgentConfigAnswer":
        return cls(
            name=agent.name,
            type=agent.type,
            version=agent.version,
            platform=agent.tenant_id is None,
            template_name=agent.template_name,
            llm_config_name=agent.llm_config_name,
            temperature=None if agent.temperature is None else float(agent.temperature),
            max_tokens=agent.max_tokens,
            max_retries=agent.max_retries,
            published=agent.active,
        )


class CostLimit(RequestBody):
    amount: str = Field(
        pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$", description="Exact.", examples=["2.50"]
    )
    currency: Literal["USD"]

    def nanos(self) -> int:
        return int(Decimal(self.amount).scaleb(9))


class BudgetBody(RequestBody):
    """The budget as a whole; null is no limit."""

    tokens_per_day: int | None = Field(default=None, strict=True, ge=0, le=2**53)
    cost_per_day: CostLimit | None = None
    concurrency: int | None = Field(
        default=None, strict=True, ge=1, le=10_000, description="Jobs that run at the same time."
    )
    over_budget: OverBudget = Field(
        default=OverBudget.REFUSE,
        description="`refuse`: new jobs get 429 until the day turns. `queue`: they wait for it.",
    )

    def budget(self) -> LLMBudget:
        return LLMBudget(
            tokens_per_day=self.tokens_per_day,
            cost_nanos_per_day=None if self.cost_per_day is None else self.cost_per_day.nanos(),
            concurrency=self.concurrency,
            over_budget=self.over_budget,
        )


class UsageAnswer(Answer):
    day: date = Field(description="Of the shop's time zone.")
    tokens: int
    cost: Cost
    calls: int
    ends_at: datetime


class BudgetAnswer(Answer):
    tokens_per_day: int | None
    cost_per_day: Cost | None
    concurrency: int | None
    over_budget: OverBudget
    today: UsageAnswer

    @classmethod
    def of(cls, budget: LLMBudget, used: LLMUsage) -> "BudgetAnswer":
        nanos = budget.cost_nanos_per_day
        return cls(
            tokens_per_day=budget.tokens_per_day,
            cost_per_day=None if nanos is None else Cost.of(nanos),
            concurrency=budget.concurrency,
            over_budget=budget.over_budget,
            today=UsageAnswer(
                day=used.day,
                tokens=used.tokens,
                cost=Cost.of(used.cost_nanos),
                calls=used.calls,
                ends_at=used.ends_at,
            ),
        )


def _plain(price: Decimal | None) -> str | None:
    return None if price is None else f"{price.normalize():f}"
