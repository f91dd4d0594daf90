"""One call to a model with everything around it that keeps a bad day at a provider from becoming
ours: fallback chain → retries → circuit breaker → time limit → call → readable answer.

Conversations and jobs call models through here and in no other way; the SDKs' own retries are off.
"""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.utils import count_tokens_approximately

from llm_worker.application.dto.processing_dto import Attempt
from llm_worker.application.services.processing_service import TextStream
from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.domain.repositories.llm_config_repository import LLMConfigNotFound
from llm_worker.infrastructure.llm.answers import Answer, read_answer, read_text
from llm_worker.infrastructure.llm.backoff import (
    BackoffConfig,
    RetryBudget,
    Sleep,
    retry_with_backoff,
)
from llm_worker.infrastructure.llm.circuit_breaker import (
    CircuitBreaker,
    CircuitBreakerConfig,
    CircuitBreakerRegistry,
    Monotonic,
)
from llm_worker.infrastructure.llm.errors import ModelRefused, as_platform_error
from llm_worker.infrastructure.llm.llm_factory import LLMFactory
from llm_worker.infrastructure.llm.metrics import CALLS, SECONDS, TOKENS
from llm_worker.infrastructure.llm.prepared import (
    PreparedModel,
    ToolSet,
    ToolSets,
)
from llm_worker.infrastructure.llm.response_validator import (
    InvalidResponse,
    ResponseQuality,
    validate_response,
)
from llm_worker.infrastructure.llm.timeout import DeadlinePassed, LLMTimeoutError, with_timeout
from shared.config.settings import LlmSettings
from shared.kernel.clock import utc_now
from shared.kernel.errors import DomainError, Unavailable

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

log = structlog.get_logger()

_FAIR_WAIT = timedelta(seconds=10)
"""A model that was given this long and said nothing is slow, however short the caller's time."""
_REFUSALS = frozenset({"content_filter", "refusal", "safety"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """What an answer cost and who gave it."""

    config_name: str
    model: str
    attempts: int
    """Calls that were begun, over all configurations of the chain."""
    tokens_in: int
    tokens_out: int
    milliseconds: int
    """From the first attempt to the answer, waits included."""


@dataclass(frozen=True, slots=True)
class ModelReply:
    """An answer as it was read, and its record."""

    answer: Answer
    record: CallRecord
    sent: AIMessage
    """What the model sent, as it is."""

    @property
    def ended(self) -> str | None:
        """The provider's word for why the answer ended."""
        return _ended_with(self.sent)

    @property
    def message(self) -> AIMessage:
        """The answer as a message that may be kept."""
        return _usable(self.sent, self.answer)


def breaker_config(settings: LlmSettings) -> CircuitBreakerConfig:
    """The operator's thresholds as the breaker takes them."""
    return CircuitBreakerConfig(
        failure_threshold=settings.circuit_breaker_failure_threshold,
        success_threshold=settings.circuit_breaker_success_threshold,
        timeout_seconds=settings.circuit_breaker_timeout_seconds.total_seconds(),
    )


class ModelCaller:
    """Calls models for one process."""

    def __init__(
        self,
        factory: LLMFactory,
        registry: CircuitBreakerRegistry,
        settings: LlmSettings,
        *,
        sleep: Sleep = asyncio.sleep,
        dice: random.Random | None = None,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._factory = factory
        self._registry = registry
        self._settings = settings
        self._sleep = sleep
        self._dice = dice or random.Random()
        self._monotonic = monotonic
        self._budgets: dict[str, RetryBudget] = {}
        self._tool_sets = ToolSets()
        self._backoff = BackoffConfig(
            initial_delay=settings.llm_retry_initial_delay.total_seconds(),
            max_delay=settings.llm_retry_max_delay.total_seconds(),
        )

    async def call(
        self,
        configs: Sequence[LLMConfig],
        messages: Sequence[BaseMessage],
        *,
        tools: "Sequence[BaseTool | Mapping[str, Any]]" = (),
        deadline: timedelta,
        chat: bool = True,
    ) -> AIMessage:
        """`call_recorded` for those who need no record."""
        reply = await self.call_recorded(
            configs, messages, tools=tools, deadline=deadline, chat=chat
        )
        return reply.message

    async def call_recorded(
        self,
        configs: Sequence[LLMConfig],
        messages: Sequence[BaseMessage],
        *,
        tools: "Sequence[BaseTool | Mapping[str, Any]]" = (),
        deadline: timedelta,
        chat: bool = True,
        must_call: bool = False,
        max_retries: int | None = None,
        attempts: list[Attempt] | None = None,
        speaker: str = "main",
        stream: TextStream | None = None,
    ) -> ModelReply:
        """Ask the first of ``configs`` that answers, within ``deadline`` altogether.

        ``chat`` says that a customer waits: no attempt then takes longer than
        LLM_CHAT_TIMEOUT_SECONDS. ``must_call``: the answer has to be a call of one of the tools.
        ``max_retries`` stands for LLM_MAX_RETRIES. Every call that is begun is added to
        ``attempts`` as ``speaker``'s, also when this raises. The message that comes back holds
        clean text, readable ``tool_calls``, and in ``invalid_tool_calls`` those that can only be
        answered with their ``error``; it is never empty. ``stream`` is told the text on the way.

        Raises:
            ModelUnavailable: nobody answers for the moment; also `LLMTimeoutError` and
                `CircuitOpenError`. ``retry_after`` is the soonest that one of them named.
            ModelRefused: the content was refused; another provider is not asked.
            DomainError: what the first configuration failed with, when trying again is useless.
        """
        tool_set = self._tool_sets.of(tools, must_call=must_call)
        retries = self._settings.llm_max_retries if max_retries is None else max_retries
        kept = [] if attempts is None else attempts
        run = _Run(self, messages, tool_set, deadline, chat, retries, kept, speaker, stream)
        failures: list[DomainError] = []
        for config in configs:
            try:
                return await run.ask(config)
            except ModelRefused:
                raise
            except DomainError as error:
                failures.append(error)
        raise _worst(failures)

    def _circuit(self, config: LLMConfig) -> tuple[CircuitBreaker, RetryBudget]:
        name = f"{config.provider}:{config.model}:{self._factory.key_digest(config)}"
        budget = self._budgets.get(name)
        if budget is None:
            if len(self._budgets) >= 1024:  # keys that tenants replaced long ago
                self._budgets.clear()
            budget = self._budgets[name] = RetryBudget(monotonic=self._monotonic)
        return self._registry.get_or_create(name), budget


class _Run:
    """One `ModelCaller.call`: its clock and its count of attempts."""

    def __init__(
        self,
        caller: ModelCaller,
        messages: Sequence[BaseMessage],
        tools: ToolSet,
        deadline: timedelta,
        chat: bool,
        max_retries: int,
        attempts: list[Attempt],
        speaker: str,
        stream: TextStream | None,
    ) -> None:
        self._caller = caller
        self._max_retries = max_retries
        self._all_attempts = attempts
        self._speaker = speaker
        self._stream = stream
        self._messages = list(messages)
        self._tools = tools
        self._started = caller._monotonic()
        self._end = self._started + deadline.total_seconds()
        self._chat = chat
        self._attempts = 0
        self._tokens = [0, 0]

    async def ask(self, config: LLMConfig) -> ModelReply:
        caller = self._caller
        breaker, budget = caller._circuit(config)
        await caller._factory.load(config.provider)
        model = caller._factory.prepare(config)

        async def once() -> tuple[AIMessage, Answer]:
            message = await breaker.call(lambda: self._attempt(config, model))
            if not self._tools.names:
                return message, read_text(message)
            return message, read_answer(message, self._tools.names)

        async def readable() -> tuple[AIMessage, Answer]:
            message, answer = await once()
            if _is_no_answer(answer, config) and budget.take():
                message, answer = await once()
            if _is_no_answer(answer, config):
                raise InvalidResponse(f"{config.name} sent no usable answer")
            return message, answer

        message, answer = await retry_with_backoff(
            readable,
            self._max_retries,
            caller._backoff,
            deadline=self._rest(),
            budget=budget,
            sleep=caller._sleep,
            dice=caller._dice,
            monotonic=caller._monotonic,
        )
        return ModelReply(answer, self._record(config), message)

    async def _attempt(self, config: LLMConfig, model: PreparedModel) -> AIMessage:
        limit, fair = self._limit(config)
        labels = (str(config.provider), str(config.model))
        self._attempts += 1
        began, started_at = self._caller._monotonic(), utc_now()
        outcome, detail, tokens = "cancelled", None, (0, 0)
        try:
            asked = model.ask(self._messages, self._tools, self._stream)
            message = await with_timeout(asked, limit, f"The model {config.name}")
            tokens = self._tokens_of(message)  # a refusal is paid for too
            if _ended_with(message) in _REFUSALS or message.additional_kwargs.get("refusal"):
                raise ModelRefused()
            outcome = "ok"
        except Exception as exc:
            error = as_platform_error(exc)
            if isinstance(error, LLMTimeoutError) and not fair:
                error = DeadlinePassed(error.timeout_seconds, error.operation)
            outcome, detail = error.code, error.detail
            log.warning("model_call_failed", config=config.name, model=labels[1], code=outcome)
            raise error from exc
        finally:
            CALLS.labels(*labels, outcome).inc()
            seconds = self._caller._monotonic() - began
            SECONDS.labels(*labels).observe(seconds)
            self._all_attempts.append(
                Attempt(
                    agent=self._speaker,
                    config_name=config.name,
                    model=str(config.model),
                    started_at=started_at,
                    milliseconds=round(seconds * 1000),
                    tokens_in=tokens[0],
                    tokens_out=tokens[1],
                    cost_nanos=config.cost_nanos(*tokens),
                    outcome=outcome,
                    error=detail,
                )
            )
        for position, direction in enumerate(("in", "out")):
            self._tokens[position] += tokens[position]
            TOKENS.labels(*labels, direction).inc(tokens[position])
        return message

    def _limit(self, config: LLMConfig) -> tuple[timedelta, bool]:
        """How long this attempt may take, and whether that is long enough to judge the model."""
        settings = self._caller._settings
        own = config.timeout or settings.llm_default_timeout_seconds
        if self._chat:
            own = min(own, settings.llm_chat_timeout_seconds)
        rest = self._rest()
        if rest <= timedelta(0):
            raise DeadlinePassed(0, f"The model {config.name}")
        return min(own, rest), rest >= min(own, _FAIR_WAIT)

    def _rest(self) -> timedelta:
        return timedelta(seconds=self._end - self._caller._monotonic())

    def _tokens_of(self, message: AIMessage) -> tuple[int, int]:
        usage = message.usage_metadata
        if usage is None:  # many compatible servers do not say
            read = count_tokens_approximately(self._messages)
            return read, count_tokens_approximately([message])
        # some that stream say only what they wrote
        read = usage["input_tokens"] or count_tokens_approximately(self._messages)
        return read, usage["output_tokens"]

    def _record(self, config: LLMConfig) -> CallRecord:
        return CallRecord(
            config_name=config.name,
            model=str(config.model),
            attempts=self._attempts,
            tokens_in=self._tokens[0],
            tokens_out=self._tokens[1],
            milliseconds=round((self._caller._monotonic() - self._started) * 1000),
        )


_NO_ANSWER = frozenset(
    {
        ResponseQuality.EMPTY,
        ResponseQuality.WHITESPACE_ONLY,
        ResponseQuality.TOO_SHORT,
        ResponseQuality.ERROR_INDICATOR,
    }
)
"""A refusal and a cut-off answer are answers; what they are worth, the caller decides."""


def _is_no_answer(answer: Answer, config: LLMConfig) -> bool:
    if answer.tool_calls:
        return False
    return validate_response(answer.text, config.min_answer_length).quality in _NO_ANSWER


def _usable(message: AIMessage, answer: Answer) -> AIMessage:
    """The message as it may be kept: no reasoning, no calls inside the text."""
    return AIMessage(
        content=answer.text,
        tool_calls=[
            {"id": call.id, "name": call.name, "args": call.args, "type": "tool_call"}
            for call in answer.tool_calls
            if call.problem is None
        ],
        invalid_tool_calls=[
            {
                "id": call.id,
                "name": call.name,
                "args": call.problem,  # no JSON: read again, it is still a problem
                "error": call.problem,
                "type": "invalid_tool_call",
            }
            for call in answer.tool_calls
            if call.problem is not None
        ],
        usage_metadata=message.usage_metadata,
        response_metadata=message.response_metadata,
        id=message.id,
    )


def _ended_with(message: AIMessage) -> str | None:
    metadata = message.response_metadata
    ended = metadata.get("finish_reason") or metadata.get("stop_reason")
    return ended if isinstance(ended, str) else None


def _worst(failures: Sequence[DomainError]) -> DomainError:
    """What to tell the caller: that waiting helps, if waiting helps with any of them."""
    away = [error for error in failures if isinstance(error, Unavailable)]
    if away:
        return min(away, key=lambda error: error.retry_after or timedelta.max)
    return failures[0] if failures else LLMConfigNotFound()
