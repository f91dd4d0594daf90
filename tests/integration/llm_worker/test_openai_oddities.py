"""What OpenAI-compatible servers send besides what OpenAI sends."""

from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from llm_worker.infrastructure.llm import errors
from llm_worker.infrastructure.llm.answers import Answer, read_answer
from llm_worker.infrastructure.llm.errors import as_platform_error
from llm_worker.infrastructure.llm.llm_factory import LLMFactory
from tests.integration.llm_worker.conftest import SEARCH, STOCK, Provider
from tests.support.fake_llm import CallTools, FakeLlm, Raw, Say

QUESTION = [HumanMessage("Ada kopi?")]
NAMES = ("search_products", "check_stock")


@pytest.fixture
def provider(llm: FakeLlm) -> Provider:
    return Provider(llm, "openai")


async def ask(factory: LLMFactory, provider: Provider) -> Answer:
    model = factory.create(provider.config()).bind_tools([SEARCH, STOCK])
    return read_answer(await model.ainvoke(QUESTION), NAMES)


def body(message: dict[str, Any], finish: str = "stop") -> Raw:
    return Raw(
        {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        }
    )


def call_body(arguments: Any, finish: str = "tool_calls") -> Raw:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "search_products", "arguments": arguments},
    }
    return body({"role": "assistant", "content": None, "tool_calls": [call]}, finish)


@pytest.mark.parametrize(
    "arguments",
    [
        '{"query": "kopi"}',
        {"query": "kopi"},
        '"{\\"query\\": \\"kopi\\"}"',
        [{"query": "kopi"}],
        "{“query”: “kopi”}",
    ],
)
async def test_arguments_in_any_form(
    factory: LLMFactory, provider: Provider, arguments: Any
) -> None:
    provider.llm.script(call_body(arguments))
    answer = await ask(factory, provider)
    assert [(call.name, call.args, call.problem) for call in answer.tool_calls] == [
        ("search_products", {"query": "kopi"}, None)
    ]


@pytest.mark.parametrize("arguments", ['{"query": "ko', "kopi", "[1]", 7])
async def test_broken_arguments_are_a_problem(
    factory: LLMFactory, provider: Provider, arguments: Any
) -> None:
    provider.llm.script(call_body(arguments, finish="length"))
    (call,) = (await ask(factory, provider)).tool_calls
    assert call.name == "search_products"
    assert call.problem is not None


@pytest.mark.parametrize("arguments", [None, "", "null"])
async def test_no_arguments_are_none(
    factory: LLMFactory, provider: Provider, arguments: Any
) -> None:
    provider.llm.script(call_body(arguments))
    (call,) = (await ask(factory, provider)).tool_calls
    assert (call.args, call.problem) == ({}, None)


async def test_a_call_in_the_text_is_a_call(factory: LLMFactory, provider: Provider) -> None:
    provider.llm.script(Say('{"name": "search_products", "arguments": {"query": "kopi"}}'))
    answer = await ask(factory, provider)
    assert answer.text == ""
    assert [(call.name, call.args) for call in answer.tool_calls] == [
        ("search_products", {"query": "kopi"})
    ]


async def test_reasoning_beside_the_answer_stays_out(
    factory: LLMFactory, provider: Provider
) -> None:
    provider.llm.script(Say("Ada!", reasoning="the customer wants coffee"))
    assert (await ask(factory, provider)).text == "Ada!"
    provider.llm.script(Say("the customer wants coffee</think>Ada!"))
    assert (await ask(factory, provider)).text == "Ada!"


async def test_a_missing_role_and_usage_are_forgiven(
    factory: LLMFactory, provider: Provider
) -> None:
    provider.llm.script(body({"content": "Ada!"}))
    assert (await ask(factory, provider)).text == "Ada!"


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        ({"error": {"message": "overloaded", "code": 503}}, errors.ModelUnavailable),
        ({"error": {"message": "x", "code": 401}}, errors.ModelKeyInvalid),
        ({"error": "context length exceeded", "choices": None}, errors.ContextTooLong),
        ({"choices": None}, errors.ModelUnavailable),
        ({"choices": []}, errors.ModelUnavailable),
        ({"choices": [{"index": 0, "message": None}]}, errors.ModelUnavailable),
        ({"id": "x"}, errors.ModelUnavailable),
    ],
)
async def test_a_200_that_is_none(
    factory: LLMFactory, provider: Provider, sent: dict[str, Any], kind: type[Exception]
) -> None:
    provider.llm.script(Raw(sent))
    with pytest.raises(Exception) as caught:
        await ask(factory, provider)
    assert type(as_platform_error(caught.value)) is kind
    assert len(provider.llm.requests) == 1


async def test_an_error_inside_a_stream_is_an_error(
    factory: LLMFactory, provider: Provider
) -> None:
    sent = 'data: {"error": {"message": "overloaded", "code": 503}}\n\ndata: [DONE]\n\n'
    provider.llm.script(Raw(sent, content_type="text/event-stream"))
    with pytest.raises(Exception) as caught:
        async for _ in factory.create(provider.config()).astream(QUESTION):
            pass
    assert type(as_platform_error(caught.value)) is errors.ModelUnavailable


async def test_fifty_calls_are_read(factory: LLMFactory, provider: Provider) -> None:
    calls = [("search_products", {"query": str(n)}) for n in range(50)]
    provider.llm.script(CallTools(*calls))
    answer = await ask(factory, provider)
    assert len(answer.tool_calls) == 50
    assert len({call.id for call in answer.tool_calls}) == 50


async def test_ten_megabytes_are_cut(factory: LLMFactory, provider: Provider) -> None:
    provider.llm.script(Say("kopi " * 2_000_000))
    assert len((await ask(factory, provider)).text) <= 100_000
