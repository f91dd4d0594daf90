"""Everything that servers have been seen to answer, and what may be used of it."""

import json
import time
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from llm_worker.infrastructure.llm.answers import (
    mend_arguments,
    read_answer,
    read_arguments,
)

TOOLS = ("search_products", "check_stock")


def read(content: Any, **more: Any) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    answer = read_answer(AIMessage(content=content, **more), TOOLS)
    return answer.text, [(call.name, call.args) for call in answer.tool_calls]


CALL = ("search_products", {"query": "kopi"})


@pytest.mark.parametrize(
    ("content", "text", "calls"),
    [
        ("Halo kak!", "Halo kak!", []),
        ("  Halo  ", "Halo", []),
        ('{"name": "search_products", "arguments": {"query": "kopi"}}', "", [CALL]),
        ('{"name": "search_products", "parameters": {"query": "kopi"}}', "", [CALL]),
        ('```json\n{"tool": "search_products", "args": {"query": "kopi"}}\n```', "", [CALL]),
        (
            '<tool_call>{"name": "search_products", "arguments": "{\\"query\\": \\"kopi\\"}"}'
            "</tool_call>",
            "",
            [CALL],
        ),
        ('<function=search_products>{"query": "kopi"}</function>', "", [CALL]),
        ('Action: search_products\nAction Input: {"query": "kopi"}', "", [CALL]),
        (
            '[TOOL_CALLS][{"name": "search_products", "arguments": {"query": "kopi"}}]',
            "",
            [CALL],
        ),
        (
            '{"name": "search_products", "arguments": {"query": "kopi"}}'
            '{"name": "check_stock", "arguments": {"product": "p1"}}',
            "",
            [CALL, ("check_stock", {"product": "p1"})],
        ),
        ("{“name”: “search_products”, “arguments”: {“query”: “kopi”}}", "", [CALL]),
        (
            'Saya cari dulu ya. {"name": "search_products", "arguments": {"query": "kopi"}}',
            "Saya cari dulu ya.",
            [CALL],
        ),
        ('{"name": "drop_tables", "arguments": {}}', "", []),
        ('Sebentar. {"name": "search_products", "argum', "Sebentar.", []),
        ("<think>hm {x}</think>Halo", "Halo", []),
        ("hm, let me think</think>Halo", "Halo", []),
        ("Halo<think>never ends", "Halo", []),
        ("<think>only</think>", "", []),
        ("Satu <think>a<think>b</think>c</think>Dua", "Dua", []),
        ("Satu <think>a</think>dua<think>b</think> tiga", "Satu dua tiga", []),
        ([{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "Halo"}], "Halo", []),
    ],
)
def test_text_and_calls_are_separated(
    content: Any, text: str, calls: list[tuple[str, dict[str, Any]]]
) -> None:
    assert read(content) == (text, calls)


def test_text_with_braces_stays_text() -> None:
    text = "Ukuran {besar} dan [kecil], harga {1}."
    assert read(text) == (text, [])


def test_proper_calls_win_over_written_ones() -> None:
    proper = [{"id": "a", "name": "check_stock", "args": {"product": "p1"}}]
    written = '{"name": "search_products", "arguments": {"query": "kopi"}}'
    assert read(written, tool_calls=proper) == ("", [("check_stock", {"product": "p1"})])


def test_broken_arguments_are_a_problem_and_no_call() -> None:
    broken = {"id": "a", "name": "check_stock", "args": '{"product": "p', "error": None}
    answer = read_answer(
        AIMessage(content="", invalid_tool_calls=[{**broken, "type": "invalid_tool_call"}])
    )
    (call,) = answer.tool_calls
    assert (call.id, call.name, call.args) == ("a", "check_stock", {})
    assert call.problem == "arguments are not valid JSON"


def test_ids_are_unique_and_never_missing() -> None:
    calls = [{"id": each, "name": "check_stock", "args": {}} for each in ("x", "x", None)]
    answer = read_answer(AIMessage(content="", tool_calls=calls))
    ids = [call.id for call in answer.tool_calls]
    assert len(set(ids)) == 3
    assert all(ids)


def test_thinking_without_an_answer_is_seen() -> None:
    silent = AIMessage(content="", additional_kwargs={"reasoning_content": "hm"})
    assert read_answer(silent).only_reasoning
    assert read_answer(AIMessage(content="<think>hm</think>")).only_reasoning
    assert not read_answer(AIMessage(content="<think>hm</think>Halo")).only_reasoning
    assert not read_answer(AIMessage(content="")).only_reasoning


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, [{}]),
        ("", [{}]),
        ("null", [{}]),
        ("{}", [{}]),
        ({"a": 1}, [{"a": 1}]),
        ('{"a": 1}', [{"a": 1}]),
        ('"{\\"a\\": 1}"', [{"a": 1}]),
        ('{"a": 1}{"a": 2}', [{"a": 1}, {"a": 2}]),
        ([{"a": 1}], [{"a": 1}]),
        ("{“a”: “x”}", [{"a": "x"}]),
    ],
)
def test_arguments_are_read_in_every_form(value: Any, expected: list[dict[str, Any]]) -> None:
    assert read_arguments(value) == expected


@pytest.mark.parametrize("value", ['{"a": ', "kopi", 7, [1, 2], '["a"]', "[" * 5000])
def test_other_arguments_are_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        read_arguments(value)


def test_mended_arguments_are_json_of_one_object() -> None:
    assert mend_arguments({"a": 1}) == '{"a": 1}'
    assert mend_arguments("null") == "{}"
    for broken in ('{"a": ', "[1]", 7):
        with pytest.raises(ValueError):
            json.loads(mend_arguments(broken))


@pytest.mark.parametrize(
    "text",
    [
        "{" * 50_000,
        "[" * 50_000,
        '{"a":' * 20_000,
        "<think>" * 14_000,
        "</think>" + "<think>" * 14_000,
        "<think " * 14_000,
        "\n" * 100_000,
        "<function=a>{" * 7_000,
        "<function=a>" + "{" * 90_000,
        "Action: a\nInput: {" * 5_000,
        "{ " * 50_000,
        "{" + " " * 99_000,
        "```" * 30_000,
    ],
)
def test_hostile_answers_are_read_within_a_second(text: str) -> None:
    began = time.monotonic()
    read_answer(AIMessage(content=text), TOOLS)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("depth", [33, 500, 990, 5_000])
@pytest.mark.parametrize(
    ("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('{"tool_calls":[', "]}")]
)
def test_deep_nesting_is_no_call_and_no_error(opening: str, closing: str, depth: int) -> None:
    deep = opening * depth + "1" + closing * depth
    assert read_answer(AIMessage(f"hai {deep} ya"), TOOLS).tool_calls == ()
    with pytest.raises(ValueError, match=r"nested too deeply|not valid JSON"):
        read_arguments(deep)


def test_deep_arguments_are_a_problem_and_no_call() -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"a": deep}
    proper = [{"id": "1", "name": "check_stock", "args": deep, "type": "tool_call"}]
    (call,) = read_answer(AIMessage("", tool_calls=proper), TOOLS).tool_calls
    assert (call.args, call.problem) == ({}, "arguments are nested too deeply")


def test_what_cannot_be_written_down_is_left_out() -> None:
    call = {
        "id": "call\0_1",
        "name": "search_products",
        "args": {"query": "ko\0pi\ud800", "many": [10**30, {"a\x1b": "\x07b"}]},
    }
    answer = read_answer(AIMessage("Halo\0\x1b[31m \ud800Kak\n\tya", tool_calls=[call]))

    assert answer.text == "Halo[31m Kak\n\tya"
    (read,) = answer.tool_calls
    assert read.id == "call_1"
    assert read.args == {"query": "kopi", "many": [str(10**30), {"a": "b"}]}
