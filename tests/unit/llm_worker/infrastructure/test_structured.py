"""Forms that models fill in: how they are asked for, read and mended."""

from typing import Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.domain.value_objects.model_name import ModelName
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.domain.value_objects.structured_output import StructuredOutput
from llm_worker.infrastructure.llm.answers import Answer, ToolCall
from llm_worker.infrastructure.llm.response_validator import InvalidResponse
from llm_worker.infrastructure.llm.structured import Form, is_given_as_tool


class Opinion(BaseModel):
    """What somebody thinks."""

    verdict: Literal["good", "bad"]
    reasons: list[str] = Field(default_factory=list, max_length=3)


FORM = Form(Opinion)


@pytest.mark.parametrize(
    "text",
    [
        '{"verdict": "good", "reasons": ["x"]}',
        'Sure!\n```json\n{"verdict": "good", "reasons": ["x"]}\n```',
        'I thought of {"verdict": "bad"} first. {"verdict": "good", "reasons": ["x"]}',
    ],
)
def test_the_last_object_of_a_text_is_the_form(text: str) -> None:
    assert FORM.read(Answer(text)) == Opinion(verdict="good", reasons=["x"])


def test_a_call_of_the_form_wins_over_text() -> None:
    call = ToolCall("1", "Opinion", {"verdict": "bad"})
    other = ToolCall("2", "Other", {"verdict": "good"})
    answer = Answer('{"verdict": "good"}', (other, call))
    assert FORM.read(answer).verdict == "bad"


def test_a_call_that_cannot_be_read_is_none() -> None:
    broken = ToolCall("1", "Opinion", {}, problem="arguments are not valid JSON")
    with pytest.raises(ValueError, match="there is no JSON object"):
        FORM.read(Answer("", (broken,)))


@pytest.mark.parametrize("text", ["", "good", "[1, 2]", '"good"', "{broken"])
def test_what_holds_no_object_is_no_form(text: str) -> None:
    with pytest.raises(ValueError, match="there is no JSON object"):
        FORM.read(Answer(text))


@pytest.mark.parametrize(
    "text", ['{"verdict": "maybe"}', "{}", '{"verdict": "good", "reasons": ["1","2","3","4"]}']
)
def test_a_form_that_is_filled_in_wrongly_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        FORM.read(Answer(text))


def test_the_form_stands_in_words_only_where_no_tool_is_given() -> None:
    system, asked = FORM.question("Judge.", "Kopi?", in_words=True)
    assert (system.text, asked.text.startswith("Kopi?\n\nReply with one JSON object")) == (
        "Judge.",
        True,
    )
    assert '"enum": ["good", "bad"]' in asked.text
    assert FORM.question("Judge.", "Kopi?", in_words=False)[1].text == "Kopi?"


@pytest.mark.parametrize("text", ["{}", '{"verdict": "maybe"}'])
def test_mending_names_the_fields_and_never_quotes_the_input(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        FORM.read(Answer(text))
    said, told = FORM.mending(Answer(text), caught.value)
    assert said.text == text
    assert told.text.startswith("That could not be read: verdict: ")
    assert "pydantic" not in told.text


def test_mending_goes_on_after_no_answer_at_all() -> None:
    said, told = FORM.mending(None, InvalidResponse("x sent no usable answer"))
    assert said.text == "(no answer)"
    assert "x sent no usable answer" in told.text


@pytest.mark.parametrize(
    ("provider", "method", "as_tool"),
    [
        (ProviderType.OPENAI, StructuredOutput.AUTO, True),
        (ProviderType.ANTHROPIC, StructuredOutput.AUTO, True),
        (ProviderType.OPENAI_COMPATIBLE, StructuredOutput.AUTO, False),
        (ProviderType.OPENAI_COMPATIBLE, StructuredOutput.TOOL, True),
        (ProviderType.OPENAI_COMPATIBLE, StructuredOutput.JSON_SCHEMA, True),
        (ProviderType.OPENAI, StructuredOutput.JSON_TEXT, False),
    ],
)
def test_who_is_given_the_form_as_a_tool(
    provider: ProviderType, method: StructuredOutput, as_tool: bool
) -> None:
    base_url = "http://x.test/v1" if provider is ProviderType.OPENAI_COMPATIBLE else None
    config = LLMConfig(
        name="x",
        provider=provider,
        model=ModelName("m"),
        base_url=base_url,
        structured_output=method,
    )
    assert is_given_as_tool(config) is as_tool
