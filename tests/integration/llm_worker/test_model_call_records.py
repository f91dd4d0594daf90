"""What a job asks of `ModelCaller` beyond an answer: its attempts, its text on the way, a form that
has to be filled in, its own number of retries."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from llm_worker.application.dto.processing_dto import Attempt
from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.infrastructure.llm.circuit_breaker import CircuitBreakerRegistry
from llm_worker.infrastructure.llm.errors import ModelRefused, ModelUnavailable
from llm_worker.infrastructure.llm.llm_factory import LLMFactory
from llm_worker.infrastructure.llm.model_call import ModelCaller, ModelReply
from llm_worker.infrastructure.llm.response_validator import InvalidResponse
from shared.config.settings import LlmSettings
from tests.integration.llm_worker.conftest import SEARCH, Provider
from tests.support.fake_llm import CallTools, Drip, Fault, Hang, Reset, Say
from tests.support.stack import until
from tests.unit.llm_worker.infrastructure.fake_time import Dice, FakeTime

QUESTION = [HumanMessage("Ada kopi?")]
ANSWER = "Ada: kopi susu, americano dan cold brew."


class Text:
    """Keeps what it is told, one text for each call."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def begin(self) -> None:
        self.calls.append([])

    def add(self, text: str) -> None:
        self.calls[-1].append(text)

    @property
    def texts(self) -> list[str]:
        return ["".join(pieces) for pieces in self.calls]


class Asking:
    """One caller whose waits take no time, and what it has written down."""

    def __init__(self, factory: LLMFactory, settings: LlmSettings) -> None:
        time = FakeTime()
        self.attempts: list[Attempt] = []
        self.text = Text()
        self._caller = ModelCaller(
            factory,
            CircuitBreakerRegistry(monotonic=time.monotonic),
            settings,
            sleep=time.sleep,
            dice=Dice(0),
            monotonic=time.monotonic,
        )

    async def __call__(self, *configs: LLMConfig, **options: Any) -> ModelReply:
        values: dict[str, Any] = {
            "deadline": timedelta(seconds=60),
            "chat": False,
            "attempts": self.attempts,
            "speaker": "main",
        }
        return await self._caller.call_recorded(configs, QUESTION, **(values | options))

    @property
    def outcomes(self) -> list[str]:
        return [attempt.outcome for attempt in self.attempts]


@pytest.fixture
def ask(factory: LLMFactory, settings: LlmSettings) -> Asking:
    return Asking(factory, settings)


async def test_every_call_is_an_attempt_of_whoever_asked(ask: Asking, provider: Provider) -> None:
    prices = {"price_in_per_million": Decimal(3), "price_out_per_million": Decimal(15)}
    provider.llm.script(Fault(503), ANSWER)
    await ask(provider.config(**prices), speaker="moderation")
    assert ask.outcomes == ["model_unavailable", "ok"]
    failed, answered = ask.attempts
    assert (failed.tokens_in, failed.tokens_out, failed.cost_nanos) == (0, 0, 0)
    assert failed.error == "The model's provider answered 503"
    assert (answered.tokens_in, answered.tokens_out) == (19, 10)
    assert answered.cost_nanos == 19 * 3_000 + 10 * 15_000
    assert {attempt.agent for attempt in ask.attempts} == {"moderation"}
    assert answered.model == "fake-model"
    assert failed.started_at <= answered.started_at


async def test_attempts_are_kept_also_when_the_call_fails(ask: Asking, provider: Provider) -> None:
    provider.llm.rule = lambda request: Fault(500)
    with pytest.raises(ModelUnavailable):
        await ask(provider.config(), max_retries=2)
    assert ask.outcomes == ["model_unavailable"] * 3


async def test_attempts_are_kept_also_when_the_call_is_cancelled(
    ask: Asking, provider: Provider
) -> None:
    provider.llm.script(Hang())
    asking = asyncio.create_task(ask(provider.config()))
    await until(lambda: provider.llm.requests)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert ask.outcomes == ["cancelled"]


@pytest.mark.parametrize("retries", [0, 1, 3])
async def test_the_callers_own_number_of_retries_holds(
    ask: Asking, provider: Provider, retries: int
) -> None:
    provider.llm.rule = lambda request: Fault(500)
    with pytest.raises(ModelUnavailable):
        await ask(provider.config(), max_retries=retries)
    assert len(provider.llm.requests) == retries + 1


async def test_text_is_told_while_it_is_written_and_is_the_same_answer(
    ask: Asking, provider: Provider
) -> None:
    provider.llm.script(ANSWER)
    reply = await ask(provider.config(), stream=ask.text)
    assert provider.llm.requests[0].stream
    assert ask.text.texts == [ANSWER] == [reply.answer.text]
    assert len(ask.text.calls[0]) > 2
    [attempt] = ask.attempts
    assert (attempt.tokens_in, attempt.tokens_out) == (19, 10)
    assert reply.ended in ("stop", "end_turn")


async def test_a_stream_that_breaks_off_is_told_anew(ask: Asking, provider: Provider) -> None:
    provider.llm.script(Reset("this will never be complete", chunks=4), ANSWER)
    reply = await ask(provider.config(), stream=ask.text)
    assert reply.answer.text == ANSWER
    assert ask.text.texts[-1] == ANSWER
    assert len(ask.text.calls) == 2
    assert ask.outcomes == ["model_unavailable", "ok"]


async def test_a_byte_a_time_keeps_no_stream_alive(ask: Asking, provider: Provider) -> None:
    provider.llm.rule = lambda request: Drip(ANSWER, 0.05)
    config = provider.config(timeout=timedelta(seconds=0.3))
    async with asyncio.timeout(5):
        with pytest.raises(ModelUnavailable):
            await ask(config, stream=ask.text, max_retries=0)
    assert ask.outcomes == ["model_timeout"]


async def test_calls_of_tools_come_out_of_a_stream_too(ask: Asking, provider: Provider) -> None:
    provider.llm.script(CallTools(("search_products", {"query": "kopi"})))
    reply = await ask(provider.config(), tools=[SEARCH], stream=ask.text)
    assert [(call.name, call.args) for call in reply.answer.tool_calls] == [
        ("search_products", {"query": "kopi"})
    ]


@pytest.mark.parametrize("must_call", [True, False])
async def test_a_form_has_to_be_filled_in(ask: Asking, provider: Provider, must_call: bool) -> None:
    provider.llm.script(CallTools(("search_products", {"query": "kopi"})))
    await ask(provider.config(), tools=[SEARCH], must_call=must_call)
    choice = provider.llm.requests[0].body.get("tool_choice")
    forced = "required" if provider.shape == "openai" else {"type": "any"}
    assert choice == (forced if must_call else None)


@pytest.mark.parametrize(("least", "answers"), [(1, True), (3, False)])
async def test_what_is_shorter_than_the_configuration_wants_is_asked_for_once_more(
    ask: Asking, provider: Provider, least: int, answers: bool
) -> None:
    provider.llm.rule = lambda request: Say("Ya")
    config = provider.config(min_answer_length=least)
    if answers:
        assert (await ask(config)).answer.text == "Ya"
        assert len(provider.llm.requests) == 1
    else:
        with pytest.raises(InvalidResponse):
            await ask(config)
        assert len(provider.llm.requests) == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_is_paid_for(ask: Asking, provider: Provider, stream: bool) -> None:
    provider.llm.script(Say("no", finish="content_filter"))
    with pytest.raises(ModelRefused):
        await ask(provider.config(), stream=ask.text if stream else None)
    [attempt] = ask.attempts
    assert (attempt.outcome, attempt.tokens_in, attempt.tokens_out) == ("model_refused", 19, 10)
