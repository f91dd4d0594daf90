"""`ModelCaller` against misbehaving providers: what is tried again, what is left alone, what comes
back. Retries sleep in fake time, so outages of minutes pass in milliseconds."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from llm_worker.bootstrap import open_models
from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.domain.repositories.llm_config_repository import LLMConfigNotFound
from llm_worker.domain.value_objects.api_key import ApiKey
from llm_worker.domain.value_objects.model_name import ModelName
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.infrastructure.llm.answers import read_answer
from llm_worker.infrastructure.llm.circuit_breaker import (
    CircuitBreakerRegistry,
    CircuitOpenError,
    CircuitState,
)
from llm_worker.infrastructure.llm.errors import (
    ContextTooLong,
    ModelKeyInvalid,
    ModelRefused,
    ModelUnavailable,
)
from llm_worker.infrastructure.llm.llm_factory import LLMFactory
from llm_worker.infrastructure.llm.model_call import ModelCaller, breaker_config
from llm_worker.infrastructure.llm.response_validator import InvalidResponse
from llm_worker.infrastructure.llm.timeout import DeadlinePassed, LLMTimeoutError
from shared.config.settings import LlmSettings
from shared.kernel.ids import TenantId
from tests.integration.llm_worker.conftest import KEY, SEARCH, MakeFactory, Provider
from tests.support.fake_llm import CallTools, Drip, FakeLlm, Fault, Hang, Raw, Reset, Say
from tests.support.stack import until
from tests.unit.llm_worker.infrastructure.fake_time import Dice, FakeTime

QUESTION = [HumanMessage("Ada kopi?")]
TURN = timedelta(seconds=90)
AT_ONCE = 250
"""Calls; more than the connections that one HTTP client otherwise has."""


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def circuits(settings: LlmSettings, time: FakeTime) -> CircuitBreakerRegistry:
    return CircuitBreakerRegistry(breaker_config(settings), monotonic=time.monotonic)


MakeCaller = Callable[..., ModelCaller]


@pytest.fixture
def make_caller(
    factory: LLMFactory, circuits: CircuitBreakerRegistry, settings: LlmSettings, time: FakeTime
) -> MakeCaller:
    def make(**changes: Any) -> ModelCaller:
        given = changes.pop("factory", factory)
        return ModelCaller(
            given,
            circuits,
            settings.model_copy(update=changes),
            sleep=time.sleep,
            dice=Dice(0),
            monotonic=time.monotonic,
        )

    return make


@pytest.fixture
def caller(make_caller: MakeCaller) -> ModelCaller:
    return make_caller()


async def test_an_answer_comes_with_its_record(caller: ModelCaller, provider: Provider) -> None:
    provider.llm.script(Say("Ada kak!"))
    reply = await caller.call_recorded([provider.config()], QUESTION, deadline=TURN)
    assert reply.message.text == "Ada kak!"
    record = reply.record
    assert (record.config_name, record.model) == (f"fake-{provider.shape}", "fake-model")
    assert (record.attempts, record.tokens_in, record.tokens_out) == (1, 19, 10)


async def test_tools_are_offered_and_their_calls_read(
    caller: ModelCaller, provider: Provider
) -> None:
    provider.llm.script(CallTools(("search_products", {"query": "kopi"})))
    answer = await caller.call([provider.config()], QUESTION, tools=[SEARCH], deadline=TURN)
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [
        ("search_products", {"query": "kopi"})
    ]
    assert provider.llm.requests[0].tool_names == ["search_products"]


async def test_a_call_written_as_text_becomes_a_call(
    caller: ModelCaller, provider: Provider
) -> None:
    provider.llm.script(Say('{"name": "search_products", "arguments": {"query": "kopi"}}'))
    answer = await caller.call([provider.config()], QUESTION, tools=[SEARCH], deadline=TURN)
    assert answer.text == ""
    assert answer.tool_calls[0]["args"] == {"query": "kopi"}


async def test_reasoning_is_gone_from_the_message(caller: ModelCaller, provider: Provider) -> None:
    provider.llm.script(Say("<think>secret plan</think>Ada!"))
    answer = await caller.call([provider.config()], QUESTION, deadline=TURN)
    assert answer.content == "Ada!"
    assert "secret plan" not in str(answer)


async def test_a_broken_call_can_still_be_answered(caller: ModelCaller, llm: FakeLlm) -> None:
    llm.script(CallTools(("search_products", '{"query": "ko')))
    config = Provider(llm, "openai").config()
    answer = await caller.call([config], QUESTION, tools=[SEARCH], deadline=TURN)
    (broken,) = answer.invalid_tool_calls
    assert broken["name"] == "search_products"
    assert broken["error"] == "arguments are not valid JSON"
    assert read_answer(answer).tool_calls[0].problem == "arguments are not valid JSON"


@pytest.mark.parametrize(
    "fault", [Fault(500), Fault(503), Fault(429), Fault(529), Reset(), Raw("garbage")]
)
async def test_a_passing_fault_is_tried_again(
    caller: ModelCaller, provider: Provider, time: FakeTime, fault: Any
) -> None:
    provider.llm.script(fault, Say("Ada!"))
    reply = await caller.call_recorded([provider.config()], QUESTION, deadline=TURN)
    assert reply.message.text == "Ada!"
    assert reply.record.attempts == len(provider.llm.requests) == 2
    assert len(time.slept) == 1


async def test_retries_end(caller: ModelCaller, provider: Provider) -> None:
    provider.llm.rule = lambda _: Fault(500)
    with pytest.raises(ModelUnavailable):
        await caller.call([provider.config()], QUESTION, deadline=TURN)
    assert len(provider.llm.requests) == 4


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413])
async def test_what_cannot_get_better_is_asked_once(
    caller: ModelCaller, provider: Provider, status: int
) -> None:
    provider.llm.script(Fault(status))
    with pytest.raises(Exception) as caught:
        await caller.call([provider.config()], QUESTION, deadline=TURN)
    assert not isinstance(caught.value, ModelUnavailable)
    assert len(provider.llm.requests) == 1


async def test_retry_after_is_waited_for(
    caller: ModelCaller, provider: Provider, time: FakeTime
) -> None:
    provider.llm.script(Fault(429, {"retry-after": "20"}), Say("Ada!"))
    await caller.call([provider.config()], QUESTION, deadline=TURN)
    assert time.slept == [20.0]


async def test_nothing_is_waited_for_beyond_the_deadline(
    caller: ModelCaller, provider: Provider, time: FakeTime
) -> None:
    provider.llm.script(Fault(429, {"retry-after": "100"}))
    with pytest.raises(ModelUnavailable) as caught:
        await caller.call([provider.config()], QUESTION, deadline=TURN)
    assert caught.value.retry_after == timedelta(seconds=100)
    assert (len(provider.llm.requests), time.slept) == (1, [])


async def test_no_time_left_means_no_call(caller: ModelCaller, provider: Provider) -> None:
    with pytest.raises(DeadlinePassed):
        await caller.call([provider.config()], QUESTION, deadline=timedelta(0))
    assert provider.llm.requests == []


@pytest.mark.parametrize("step", [Hang(), Drip("Ada!", 0.02)])
async def test_a_slow_model_is_timed_out_as_a_whole(
    caller: ModelCaller, provider: Provider, step: Any
) -> None:
    provider.llm.rule = lambda _: step
    config = provider.config(timeout=timedelta(seconds=0.2))
    with pytest.raises((LLMTimeoutError, ModelUnavailable)):
        await caller.call([config], QUESTION, deadline=TURN)
    assert len(provider.llm.requests) == 4


async def test_a_chat_waits_less_than_a_job(make_caller: MakeCaller, provider: Provider) -> None:
    caller = make_caller(llm_chat_timeout_seconds=timedelta(seconds=0.1), llm_max_retries=0)
    provider.llm.rule = lambda _: Say("Ada!", delay=0.4)
    with pytest.raises(LLMTimeoutError):
        await caller.call([provider.config()], QUESTION, deadline=TURN)
    answer = await caller.call([provider.config()], QUESTION, deadline=TURN, chat=False)
    assert answer.text == "Ada!"


async def test_a_short_deadline_does_not_blame_the_model(
    caller: ModelCaller, provider: Provider, circuits: CircuitBreakerRegistry
) -> None:
    provider.llm.rule = lambda _: Hang()
    for _ in range(6):
        with pytest.raises(DeadlinePassed):
            await caller.call([provider.config()], QUESTION, deadline=timedelta(seconds=0.05))
    assert set(circuits.states().values()) == {CircuitState.CLOSED}


# --- circuits ---


async def test_an_outage_opens_the_circuit_and_spares_the_provider(
    caller: ModelCaller, provider: Provider, time: FakeTime
) -> None:
    provider.llm.rule = lambda _: Fault(500)
    config = provider.config()
    for _ in range(100):
        with pytest.raises(ModelUnavailable):
            await caller.call([config], QUESTION, deadline=TURN)
    assert len(provider.llm.requests) <= 8
    provider.llm.rule = lambda _: Say("Ada!")
    with pytest.raises(CircuitOpenError) as caught:
        await caller.call([config], QUESTION, deadline=TURN)
    assert caught.value.cause == "model_unavailable"
    time.now += 61
    assert (await caller.call([config], QUESTION, deadline=TURN)).text == "Ada!"


async def test_ten_minutes_of_outage_cost_a_fifth_more_calls_at_most(
    caller: ModelCaller, provider: Provider, time: FakeTime
) -> None:
    """100 turns over 10 minutes, each asked again by its queue once a minute."""
    provider.llm.rule = lambda _: Fault(500)
    config = provider.config()
    for _ in range(100):
        with pytest.raises(ModelUnavailable):
            await caller.call([config], QUESTION, deadline=TURN)
        time.now += 6
    assert len(provider.llm.requests) <= 120


async def test_a_bad_key_closes_the_door_for_that_key_only(
    caller: ModelCaller, provider: Provider
) -> None:
    provider.llm.rule = lambda request: Fault(401) if request.key == "bad" else Say("Ada!")
    bad, good = provider.config(api_key=ApiKey("bad")), provider.config()
    with pytest.raises(ModelKeyInvalid):
        await caller.call([bad], QUESTION, deadline=TURN)
    with pytest.raises(CircuitOpenError) as caught:
        await caller.call([bad], QUESTION, deadline=TURN)
    assert caught.value.cause == "model_key_invalid"
    assert (await caller.call([good], QUESTION, deadline=TURN)).text == "Ada!"
    rotated = replace(bad, api_key=ApiKey("better"))
    assert (await caller.call([rotated], QUESTION, deadline=TURN)).text == "Ada!"
    assert [request.key for request in provider.llm.requests] == ["bad", KEY, "better"]


async def test_models_have_circuits_of_their_own(
    caller: ModelCaller, provider: Provider, circuits: CircuitBreakerRegistry
) -> None:
    provider.llm.rule = lambda request: (
        Fault(500) if request.body["model"] == "broken" else Say("Ada!")
    )
    broken = provider.config(model=ModelName("broken"))
    for _ in range(3):
        with pytest.raises(ModelUnavailable):
            await caller.call([broken], QUESTION, deadline=TURN)
    assert (await caller.call([provider.config()], QUESTION, deadline=TURN)).text == "Ada!"
    states = {name.split(":")[1]: state for name, state in circuits.states().items()}
    assert states == {"broken": CircuitState.OPEN, "fake-model": CircuitState.CLOSED}
    assert not any(KEY in name for name in circuits.states())


async def test_a_cancelled_call_is_no_failure(
    caller: ModelCaller, provider: Provider, circuits: CircuitBreakerRegistry
) -> None:
    provider.llm.rule = lambda _: Hang()
    for number in range(1, 7):
        task = asyncio.create_task(caller.call([provider.config()], QUESTION, deadline=TURN))
        async with asyncio.timeout(5):
            while len(provider.llm.requests) < number:
                await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert set(circuits.states().values()) == {CircuitState.CLOSED}


# --- the chain ---


async def test_the_next_model_answers_when_the_first_cannot(
    caller: ModelCaller, provider: Provider
) -> None:
    provider.llm.rule = lambda request: (
        Fault(500) if request.body["model"] == "first" else Say("Ada!")
    )
    chain = [provider.config(name=name, model=ModelName(name)) for name in ("first", "second")]
    reply = await caller.call_recorded(chain, QUESTION, deadline=TURN)
    assert (reply.record.config_name, reply.record.attempts) == ("second", 5)
    provider.llm.requests.clear()
    for _ in range(3):  # once the circuit is open, the first is not even asked
        await caller.call(chain, QUESTION, deadline=TURN)
    assert [request.body["model"] for request in provider.llm.requests][-1] == "second"


async def test_waiting_is_offered_when_waiting_helps_with_any(
    caller: ModelCaller, provider: Provider
) -> None:
    provider.llm.rule = lambda request: (
        Fault(503) if request.body["model"] == "first" else Fault(401)
    )
    chain = [provider.config(name=name, model=ModelName(name)) for name in ("first", "second")]
    for order in (chain, chain[::-1]):
        with pytest.raises(ModelUnavailable):
            await caller.call(order, QUESTION, deadline=TURN)


async def test_a_refusal_is_not_taken_elsewhere(caller: ModelCaller, provider: Provider) -> None:
    provider.llm.script(Say("", finish="content_filter"))
    chain = [provider.config(), provider.config(model=ModelName("other"))]
    with pytest.raises(ModelRefused):
        await caller.call(chain, QUESTION, deadline=TURN)
    assert len(provider.llm.requests) == 1


async def test_too_long_for_all_is_said_so(caller: ModelCaller, provider: Provider) -> None:
    provider.llm.rule = lambda _: Fault(400, message="prompt is too long: 9 tokens")
    with pytest.raises(ContextTooLong):
        await caller.call([provider.config()], QUESTION, deadline=TURN)
    assert len(provider.llm.requests) == 1


async def test_an_empty_chain_is_no_model(caller: ModelCaller) -> None:
    with pytest.raises(LLMConfigNotFound):
        await caller.call([], QUESTION, deadline=TURN)


# --- answers that are none ---


@pytest.mark.parametrize(
    "text", ["", "   \n", "<think>hm</think>", "Internal Server Error", '{"error": "x"}']
)
async def test_no_answer_is_asked_for_once_more(
    caller: ModelCaller, provider: Provider, text: str, circuits: CircuitBreakerRegistry
) -> None:
    provider.llm.script(Say(text), Say("Ada!"))
    reply = await caller.call_recorded([provider.config()], QUESTION, deadline=TURN)
    assert (reply.message.text, reply.record.attempts) == ("Ada!", 2)
    provider.llm.script(Say(text), Say(text))
    with pytest.raises(InvalidResponse):
        await caller.call([provider.config()], QUESTION, deadline=TURN)
    assert provider.llm.pending == 0
    assert set(circuits.states().values()) == {CircuitState.CLOSED}


async def test_tokens_are_estimated_where_the_server_does_not_count(
    caller: ModelCaller, llm: FakeLlm
) -> None:
    llm.script(Say("Ada banyak kopi di sini.", usage=False))
    config = Provider(llm, "openai").config()
    record = (await caller.call_recorded([config], QUESTION, deadline=TURN)).record
    assert record.tokens_in > 0
    assert record.tokens_out > 0


# --- what the operator sees ---


async def test_calls_are_counted_by_outcome(caller: ModelCaller, provider: Provider) -> None:
    model = f"counted-{provider.shape}"
    config = provider.config(model=ModelName(model))

    def count(name: str, **labels: str) -> float:
        labels = {"provider": str(config.provider), "model": model, **labels}
        return REGISTRY.get_sample_value(name, labels) or 0

    provider.llm.script(Fault(500), Say("Ada!"))
    await caller.call([config], QUESTION, deadline=TURN)
    assert count("llm_calls_total", outcome="ok") == 1
    assert count("llm_calls_total", outcome="model_unavailable") == 1
    assert count("llm_call_seconds_count") == 2
    assert count("llm_tokens_total", direction="in") == 19
    assert count("llm_tokens_total", direction="out") == 10


async def test_logs_name_codes_and_no_secrets(caller: ModelCaller, provider: Provider) -> None:
    provider.llm.rule = lambda _: Fault(401, message=f"bad key {KEY} for Ada kopi?")
    with capture_logs() as logs, pytest.raises(ModelKeyInvalid):
        await caller.call([provider.config()], QUESTION, deadline=TURN)
    assert {entry["event"] for entry in logs} == {"model_call_failed", "circuit_changed"}
    assert KEY not in str(logs)
    assert "kopi" not in str(logs)


async def test_no_call_waits_for_the_connection_of_another(
    provider: Provider, settings: LlmSettings
) -> None:
    """A model that thinks long has as many calls at once as the worker has turns."""
    provider.llm.rule = lambda _: Hang()
    config = provider.config(timeout=None)
    async with open_models(settings, allow_hosts=["127.0.0.1"]) as models:
        calls = [
            asyncio.create_task(models.caller.call([config], QUESTION, deadline=TURN))
            for _ in range(AT_ONCE)
        ]
        try:
            await until(lambda: len(provider.llm.requests) == AT_ONCE)
        finally:
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)


# --- models without a network ---


class _Forgetful(BaseChatModel):
    """Fails with a bug of ours."""

    @property
    def _llm_type(self) -> str:
        return "forgetful"

    def _generate(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug")


async def test_a_bug_is_not_retried_and_opens_nothing(
    make_caller: MakeCaller, make_factory: MakeFactory, circuits: CircuitBreakerRegistry
) -> None:
    caller = make_caller(factory=make_factory(scripted=lambda _: _Forgetful()))
    config = LLMConfig(name="s", provider=ProviderType.SCRIPTED, model=ModelName("s"))
    with pytest.raises(Exception, match="in a way nobody has met") as caught:
        await caller.call([config], QUESTION, deadline=TURN)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert set(circuits.states().values()) == {CircuitState.CLOSED}


async def test_the_offline_model_is_called_like_any_other(caller: ModelCaller) -> None:
    config = LLMConfig(name="offline", provider=ProviderType.OFFLINE, model=ModelName("offline"))
    answer: AIMessage = await caller.call([config], [HumanMessage("halo")], deadline=TURN)
    assert answer.text.startswith("Halo kak!")
    tool_call = await caller.call(
        [config], [HumanMessage("ada kopi?")], tools=[SEARCH], deadline=TURN
    )
    assert tool_call.tool_calls[0]["args"] == {"query": "kopi"}


def test_a_tenants_id_is_no_part_of_a_circuit(factory: LLMFactory, llm: FakeLlm) -> None:
    """Two tenants with one key share its circuit: the provider knows the key, not the tenant."""
    provider = Provider(llm, "openai")
    one, two = (provider.config(tenant_id=TenantId(uuid4())) for _ in range(2))
    assert factory.key_digest(one) == factory.key_digest(two)
