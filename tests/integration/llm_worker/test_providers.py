"""One model call over HTTP, OpenAI- and Anthropic-shaped: what is sent, read and refused."""

import asyncio
import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from llm_worker.domain.value_objects.temperature import Temperature
from llm_worker.infrastructure.llm import errors
from llm_worker.infrastructure.llm.answers import read_answer
from llm_worker.infrastructure.llm.errors import as_platform_error
from llm_worker.infrastructure.llm.llm_factory import LLMFactory
from shared.kernel.errors import DomainError
from tests.integration.llm_worker.conftest import KEY, SEARCH, STOCK, Provider
from tests.support.fake_llm import CallTools, Drip, Fault, Hang, Raw, Reset, Say

QUESTION = [SystemMessage("You are a shop."), HumanMessage("Ada kopi?")]


async def failure(factory: LLMFactory, provider: Provider, **changes: Any) -> DomainError:
    """The platform's error of a call that must fail; also that it was tried once only."""
    before = len(provider.llm.requests)
    with pytest.raises(Exception) as caught:
        await factory.create(provider.config(**changes)).ainvoke(QUESTION)
    assert len(provider.llm.requests) == before + 1
    error = as_platform_error(caught.value)
    assert KEY not in f"{error!r} {error} {error.detail} {error.data}"
    return error


async def test_text(factory: LLMFactory, provider: Provider) -> None:
    provider.llm.script(Say("Ada kak!"))
    answer = await factory.create(provider.config()).ainvoke(QUESTION)
    assert answer.text == "Ada kak!"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] == 19
    assert answer.usage_metadata["output_tokens"] == 10


async def test_what_is_sent(factory: LLMFactory, provider: Provider) -> None:
    config = provider.config(temperature=Temperature(0.7), max_tokens=321)
    await factory.create(config).ainvoke(QUESTION)
    (request,) = provider.llm.requests
    assert request.key == KEY
    assert request.body["model"] == "fake-model"
    assert request.body["temperature"] == 0.7
    assert request.body["max_tokens"] == 321
    assert request.last_user_text == "Ada kopi?"
    if provider.shape == "openai":
        assert request.body["messages"][0] == {"role": "system", "content": "You are a shop."}
        assert "openai-organization" not in request.headers
    else:
        assert request.body["system"] == "You are a shop."
        assert request.headers["anthropic-version"]


async def test_parallel_tool_calls(factory: LLMFactory, provider: Provider) -> None:
    provider.llm.script(
        CallTools(("search_products", {"query": "kopi"}), ("check_stock", {"product": "p1"}))
    )
    model = factory.create(provider.config()).bind_tools([SEARCH, STOCK])
    answer = read_answer(await model.ainvoke(QUESTION))
    assert [(call.name, call.args) for call in answer.tool_calls] == [
        ("search_products", {"query": "kopi"}),
        ("check_stock", {"product": "p1"}),
    ]
    assert provider.llm.requests[0].tool_names == ["search_products", "check_stock"]


async def test_tool_results_go_back(factory: LLMFactory, provider: Provider) -> None:
    provider.llm.script(CallTools(("search_products", {"query": "kopi"})), Say("Ada."))
    model = factory.create(provider.config()).bind_tools([SEARCH])
    call = await model.ainvoke(QUESTION)
    result = ToolMessage('{"products": []}', tool_call_id=call.tool_calls[0]["id"])
    assert (await model.ainvoke([*QUESTION, call, result])).text == "Ada."
    assert '{\\"products\\": []}' in json.dumps(provider.llm.requests[1].body["messages"])


async def test_a_stream_of_text_adds_up(factory: LLMFactory, provider: Provider) -> None:
    provider.llm.script(Say("Ada banyak pilihan kopi kak!"))
    model = factory.create(provider.config())
    chunks = [chunk async for chunk in model.astream(QUESTION)]
    assert "".join(chunk.text for chunk in chunks) == "Ada banyak pilihan kopi kak!"
    assert len(chunks) > 2
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    assert total.usage_metadata is not None
    assert total.usage_metadata["output_tokens"] == 10


async def test_a_stream_of_tool_calls_adds_up(factory: LLMFactory, provider: Provider) -> None:
    provider.llm.script(
        CallTools(("search_products", {"query": "kopi susu"}), ("check_stock", {"product": "p1"}))
    )
    model = factory.create(provider.config()).bind_tools([SEARCH, STOCK])
    chunks = [chunk async for chunk in model.astream(QUESTION)]
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    assert [(call["name"], call["args"]) for call in total.tool_calls] == [
        ("search_products", {"query": "kopi susu"}),
        ("check_stock", {"product": "p1"}),
    ]


@pytest.mark.parametrize(
    ("step", "kind", "wait"),
    [
        (Fault(400), errors.ModelRequestInvalid, None),
        (Fault(400, message="prompt is too long: 9 tokens"), errors.ContextTooLong, None),
        (Fault(400, message="maximum context length is 9"), errors.ContextTooLong, None),
        (Fault(401), errors.ModelKeyInvalid, None),
        (Fault(402), errors.ModelQuotaSpent, None),
        (Fault(403), errors.ModelKeyInvalid, None),
        (Fault(404), errors.ModelNotFound, None),
        (Fault(413), errors.ContextTooLong, None),
        (Fault(429), errors.ModelUnavailable, None),
        (Fault(429, {"retry-after": "7"}), errors.ModelUnavailable, 7),
        (Fault(429, {"retry-after": "0"}), errors.ModelUnavailable, 1),
        (Fault(429, {"retry-after": "-1"}), errors.ModelUnavailable, 1),
        (Fault(429, {"retry-after": "86400"}), errors.ModelUnavailable, 600),
        (Fault(429, {"retry-after-ms": "2500"}), errors.ModelUnavailable, 2.5),
        (Fault(429, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}), errors.ModelUnavailable, 1),
        (Fault(429, {"retry-after": "soon"}), errors.ModelUnavailable, None),
        (Fault(429, code="insufficient_quota"), errors.ModelQuotaSpent, None),
        (Fault(500), errors.ModelUnavailable, None),
        (Fault(500, message="request exceeds the context size"), errors.ContextTooLong, None),
        (Fault(502), errors.ModelUnavailable, None),
        (Fault(503, {"retry-after": "30"}), errors.ModelUnavailable, 30),
        (Fault(529), errors.ModelUnavailable, None),
        (Raw("", status=500), errors.ModelUnavailable, None),
        (Raw("[]", status=503), errors.ModelUnavailable, None),
        (Raw("<html>bad gateway</html>", status=502, content_type="text/html"),
         errors.ModelUnavailable, None),
    ],
)  # fmt: skip
async def test_an_error_is_tried_once_and_understood(
    factory: LLMFactory,
    provider: Provider,
    step: Fault | Raw,
    kind: type[DomainError],
    wait: float | None,
) -> None:
    provider.llm.script(step)
    error = await failure(factory, provider)
    assert type(error) is kind
    expected = None if wait is None else timedelta(seconds=wait)
    assert getattr(error, "retry_after", None) == expected


async def test_the_sdk_tries_nothing_again(factory: LLMFactory, provider: Provider) -> None:
    """There is one layer that retries, and it is ours."""
    provider.llm.script(Fault(500), Fault(500), Fault(500))
    with suppress(Exception):
        await factory.create(provider.config()).ainvoke(QUESTION)

    assert len(provider.llm.requests) == 1


@pytest.mark.parametrize("step", [Hang(), Drip("slow", 0.05)])
async def test_a_silent_server_is_given_up(
    factory: LLMFactory, provider: Provider, step: Any
) -> None:
    provider.llm.script(step)
    if isinstance(step, Drip):  # bytes keep arriving: only a deadline over all ends it
        model = factory.create(provider.config())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(model.ainvoke(QUESTION), 0.3)
        return
    error = await failure(factory, provider, timeout=timedelta(seconds=0.2))
    assert type(error) is errors.ModelUnavailable


async def test_a_broken_connection_is_unavailable(factory: LLMFactory, provider: Provider) -> None:
    provider.llm.script(Reset())
    assert type(await failure(factory, provider)) is errors.ModelUnavailable


async def test_a_stream_that_breaks_off_is_unavailable(
    factory: LLMFactory, provider: Provider
) -> None:
    provider.llm.script(Reset(chunks=3))
    with pytest.raises(Exception) as caught:
        async for _ in factory.create(provider.config()).astream(QUESTION):
            pass
    assert type(as_platform_error(caught.value)) is errors.ModelUnavailable


async def test_nobody_listening_is_unavailable(factory: LLMFactory, provider: Provider) -> None:
    dead = "http://127.0.0.1:9"
    with pytest.raises(Exception) as caught:
        await factory.create(provider.config(base_url=dead)).ainvoke(QUESTION)
    assert type(as_platform_error(caught.value)) is errors.ModelUnavailable


@pytest.mark.parametrize("body", ["", "not json", "{", "null", "[]", "{}", '"text"', "7"])
async def test_garbage_with_a_200_is_unavailable(
    factory: LLMFactory, provider: Provider, body: str
) -> None:
    provider.llm.script(Raw(body))
    error = await failure(factory, provider)
    assert isinstance(error, errors.ModelUnavailable | errors.ModelCallFailed)


async def test_redirects_are_not_followed(factory: LLMFactory, provider: Provider) -> None:
    provider.llm.script(Raw("", status=307, headers={"location": provider.llm.openai_url}))
    error = await failure(factory, provider)
    assert not isinstance(error, errors.ModelKeyInvalid)


async def test_a_refusal_is_no_answer(factory: LLMFactory, provider: Provider) -> None:
    provider.llm.script(Say("", finish="content_filter"))
    answer = await factory.create(provider.config()).ainvoke(QUESTION)
    assert read_answer(answer).is_empty


async def test_connections_are_kept_and_shared(factory: LLMFactory, provider: Provider) -> None:
    config = provider.config()
    for _ in range(5):
        await factory.create(config).ainvoke(QUESTION)
    assert provider.llm.connections == 1
    await asyncio.gather(*(factory.create(config).ainvoke(QUESTION) for _ in range(8)))
    assert provider.llm.connections <= 8
    assert len(provider.llm.requests) == 13


async def test_the_key_is_in_no_repr(factory: LLMFactory, provider: Provider) -> None:
    model = factory.create(provider.config())
    provider.llm.script(Fault(401, message=f"Incorrect API key provided: {KEY}"))
    with pytest.raises(Exception) as caught:
        await model.ainvoke(QUESTION)
    error = as_platform_error(caught.value)
    assert KEY not in f"{model!r} {model} {error!r} {error.detail}"
    assert KEY not in str(model._identifying_params)


async def test_a_message_without_text_is_read(factory: LLMFactory, provider: Provider) -> None:
    provider.llm.script(Say(""))
    answer: AIMessage = await factory.create(provider.config()).ainvoke(QUESTION)
    assert read_answer(answer).is_empty
