"""The offline model as jobs meet it: no shop, no tools."""

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from llm_worker.infrastructure.llm.offline_model import OfflineChatModel
from llm_worker.infrastructure.llm.response_validator import validate_response

ASSISTANT = "You are a helpful assistant. Answer in the language of the user's message."
INDONESIAN = "Ini jawaban dari model demo offline."
ENGLISH = "This answer comes from the offline demo model."


async def answer(prompt: str, *, system: str = ASSISTANT) -> str:
    model = OfflineChatModel()
    return str((await model.ainvoke([SystemMessage(system), HumanMessage(prompt)])).text)


@pytest.mark.parametrize(
    ("prompt", "begins"),
    [
        ("Apa itu kopi luwak?", INDONESIAN),
        ("Tolong buatkan ringkasan dari teks ini ya", INDONESIAN),
        ("What is the capital of France?", ENGLISH),
        ("Can you write a short poem about the rain?", ENGLISH),
        ("halo", INDONESIAN),
        ("ada kopi apa?", INDONESIAN),
    ],
)
async def test_it_says_in_the_prompts_language_that_it_is_a_demo(prompt: str, begins: str) -> None:
    assert (await answer(prompt)).startswith(begins)


@pytest.mark.parametrize(
    "prompt", ["Kata rahasia: kenari-4711", "x" * 100_000, "\u200b", "{{7*7}}"]
)
async def test_it_never_repeats_the_prompt(prompt: str) -> None:
    said = await answer(prompt)
    assert prompt not in said
    assert "kenari" not in said
    assert len(said) < 300


@pytest.mark.parametrize("prompt", ["Apa itu kopi luwak?", "What is the capital of France?"])
async def test_what_it_says_counts_as_an_answer(prompt: str) -> None:
    assert validate_response(await answer(prompt), 1).is_valid


async def test_an_empty_system_prompt_is_a_jobs_too() -> None:
    assert (await answer("What is the weather?", system="")).startswith(ENGLISH)


async def test_a_shop_is_still_a_shop() -> None:
    said = await answer("halo", system="Shop: Kopi Senja\nLanguage: Indonesian")
    assert said.startswith("Halo kak!")
