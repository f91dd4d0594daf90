"""The agent over HTTP, against servers of both providers' shapes: what it sends is what their APIs
take, also after tools, a repair and a message in between."""

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from commerce_agent.application.ports.shop_agent import AgentUnavailable, Draft, Said, Spoken
from llm_worker.infrastructure.llm.llm_factory import LLMFactory
from shared.config.settings import LlmSettings
from shared.security.outbound import safe_transport
from tests.integration.llm_worker.conftest import KEY, Provider
from tests.support.fake_llm import CallTools, FakeLlm, Fault, Say
from tests.support.scripted_model import ScriptedModel
from tests.unit.commerce_agent.llm.shop import AgentShop, a_turn, heard

SEARCH = ("search_products", {"query": "kopi"})


@pytest_asyncio.fixture(loop_scope="session", params=["openai", "anthropic"])
async def provider(request: pytest.FixtureRequest) -> AsyncIterator[Provider]:
    async with FakeLlm() as llm:
        yield Provider(llm, request.param)


@pytest_asyncio.fixture(loop_scope="session")
async def shop(provider: Provider) -> AsyncIterator[AgentShop]:
    settings = LlmSettings(llm_max_retries=0, openai_api_key=SecretStr(KEY))
    factory = LLMFactory(
        settings, transport=lambda: safe_transport([f"127.0.0.1:{provider.llm.port}"])
    )
    at = a_turn().now
    said = (Said(by="ai", text="Halo!", at=at), Said(by="customer", text="pagi", at=at))
    yield AgentShop(
        ScriptedModel(),
        turn=a_turn(history=said),
        settings=settings,
        models=(provider.config(),),
        factory=factory,
    )
    await factory.aclose()


async def test_a_whole_turn_with_tools_and_a_repair(provider: Provider, shop: AgentShop) -> None:
    provider.llm.script(
        CallTools(SEARCH, ("check_stock", {"product": "p1"}), text="Sebentar"),
        Say("Harganya Rp9.000"),
        Say("Kopi Susu Rp25.000, stok 12."),
    )
    journal = shop.journal("ada kopi?", "yang enak")

    outcome = await shop.run(journal)

    assert isinstance(outcome, Draft)
    assert (outcome.text, outcome.fault) == ("Kopi Susu Rp25.000, stok 12.", None)
    spoken = [step for step in journal.steps if isinstance(step, Spoken)]
    assert [(step.model, step.tokens_in) for step in spoken] == [("fake-model", 19)] * 3
    for request in provider.llm.requests:
        _check_conversation(request.api, request.body)
        assert len(request.body["tools"]) == 6


async def test_a_message_between_a_call_and_its_result(provider: Provider, shop: AgentShop) -> None:
    provider.llm.script(CallTools(SEARCH), Say("Kopi Susu Rp25.000"), Say("Yang dingin Rp25.000"))
    journal = shop.journal("ada kopi?")
    await shop.run(journal)
    journal.hear(heard("yang dingin"))

    assert isinstance(await shop.run(journal), Draft)
    _check_conversation(provider.llm.requests[-1].api, provider.llm.requests[-1].body)


async def test_a_refused_key_defers_the_turn_and_is_told_to_nobody(
    provider: Provider, shop: AgentShop
) -> None:
    provider.llm.script(Fault(status=401, message="invalid x-api-key"))
    with pytest.raises(AgentUnavailable) as raised:
        await shop.run(shop.journal("halo"))
    assert raised.value.data["cause"] == "model_key_invalid"
    assert KEY not in str(raised.value)


def _check_conversation(api: str, body: dict[str, Any]) -> None:
    """The rules of order that both providers enforce."""
    messages = body["messages"]
    if api == "openai":
        assert messages[0]["role"] == "system"
        messages = messages[1:]
    else:
        assert body["system"]
    assert messages[0]["role"] == "user"
    assert all(message["role"] != "system" for message in messages)
    for before, after in pairwise(messages):
        if api == "anthropic":
            assert before["role"] != after["role"]
        asked = _asked(before)
        if asked and api == "anthropic":
            assert asked <= {block.get("tool_use_id") for block in after["content"]}
        elif asked:
            assert after["role"] == "tool"


def _asked(message: dict[str, Any]) -> set[str]:
    calls = {call["id"] for call in message.get("tool_calls") or ()}
    content = message.get("content")
    blocks = content if isinstance(content, list) else []
    return calls | {block["id"] for block in blocks if block.get("type") == "tool_use"}
