"""From what a model sent to what may be used: clean text and readable tool calls.

OpenAI-compatible servers differ most here. Reasoning arrives inside the text, tool calls arrive as
JSON in the text, arguments arrive as an object, as ``"null"`` or encoded twice. Whatever comes,
neither reasoning nor raw JSON of a tool call is left in ``Answer.text``, and everything in an
`Answer` can be written down: PostgreSQL keeps no NUL, and nothing encodes half a surrogate pair or
a number of a hundred digits.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

MAX_ANSWER_CHARACTERS = 100_000
_MAX_JSON_VALUES = 64
_DEEPEST = 32
"""Levels of JSON that are followed; no tool wants more than three."""

_NOT_WRITTEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters (a terminal's colours among them) and halves of surrogate pairs."""
_LARGEST = 2**63 - 1

_THINK = r"(?:think|thinking|thought|reasoning|reflection)"
_THOUGHT_TAG = re.compile(rf"<(/?){_THINK}\b[^<>]{{0,200}}>", re.IGNORECASE)

_CALL_MARKS = re.compile(
    r"</?(?:tool_calls?|function_calls?|tools?|tool_response)>|\[/?TOOL_CALLS\]|<\|[a-z_▁]+\|>",
    re.IGNORECASE,
)
# Answers of 100 000 characters are read: no pattern may look at the same text again and again.
_NAMED_CALL = re.compile(
    r"<function=([A-Za-z0-9_-]{1,64})>\s*(\{(?:(?!<function=).)*?\})?\s*</function>|"
    r"^[ \t]*(?:Action|Tool|Function)[ \t]*:[ \t]*([A-Za-z0-9_-]{1,64})[ \t]*\n"
    r"[ \t]*(?:Action Input|Arguments|Input)[ \t]*:[ \t]*(\{.*\})[ \t]*$",
    re.DOTALL | re.MULTILINE,
)
_EMPTY_FENCE = re.compile(r"```[a-z]*\s*```", re.IGNORECASE)
_BROKEN_CALL = re.compile(
    r"[\[{]\s*[\"“”']?(?:name|tool|tool_name|tool_calls?|function|function_call|arguments"
    r"|parameters|type[\"“”']?\s*:\s*[\"“”']function)[\"“”']?\s*:.*\Z",
    re.DOTALL,
)
_CURLY = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'"})
_NAME_KEYS = ("name", "tool", "tool_name", "function", "recipient_name")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "input", "tool_input", "tool_arguments")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A wish of the model. With a ``problem`` it cannot be carried out, only answered."""

    id: str
    name: str
    args: dict[str, Any]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What may be used of a model's message."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    only_reasoning: bool = False
    """The model thought aloud and then said nothing; worth one more try."""

    @property
    def is_empty(self) -> bool:
        return not self.text and not self.tool_calls


def read_answer(message: "AIMessage", tool_names: Collection[str] = ()) -> Answer:
    """Separate text from tool calls, wherever the model put them.

    A call written as JSON into the text counts only if ``tool_names`` holds its name; others are
    cut out all the same. Text calls are ignored when the message also has proper ones.
    """
    raw = _NOT_WRITTEN.sub("", _text_of(message.content)[:MAX_ANSWER_CHARACTERS])
    text = strip_reasoning(raw)
    calls = list(_proper_calls(message))
    text, written = _cut_calls(text)
    if not calls:
        calls = [call for call in written if call[1] in tool_names]
    return Answer(
        text=text,
        tool_calls=tuple(_with_ids(calls)),
        only_reasoning=bool(_reasoning_of(message, raw)) and not text and not calls,
    )


def read_text(message: "AIMessage") -> Answer:
    """The text of a model that was offered no tools: whatever JSON it holds is its answer."""
    raw = _NOT_WRITTEN.sub("", _text_of(message.content)[:MAX_ANSWER_CHARACTERS])
    text = strip_reasoning(raw)
    return Answer(text=text, only_reasoning=bool(_reasoning_of(message, raw)) and not text)


def embedded_objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects that stand in a text, in their order."""
    return [_written(value) for _, _, value in _embedded_json(text) if isinstance(value, dict)]


def strip_reasoning(text: str) -> str:
    """Remove thoughts in tags, also where the opening or the closing tag is missing."""
    kept: list[str] = []
    position, is_thinking = 0, False
    for tag in _THOUGHT_TAG.finditer(text):
        if tag[1]:
            if not is_thinking:
                kept.clear()  # it began before the answer did
            position, is_thinking = tag.end(), False
        elif not is_thinking:
            kept.append(text[position : tag.start()])
            is_thinking = True
    if not is_thinking:
        kept.append(text[position:])
    return "".join(kept).strip()


def read_arguments(value: Any) -> list[dict[str, Any]]:
    """Read a call's arguments: an object, JSON text of one (also encoded twice), or nothing.

    Returns one dict, or several when objects were glued together.

    Raises:
        ValueError: it is none of these, the text was cut off, or it is nested too deeply.
    """
    for _ in range(3):
        if _is_deep(value):
            raise ValueError("arguments are nested too deeply")
        if value is None or value == "" or value == []:
            return [{}]
        if isinstance(value, Mapping):
            return [dict(value)]
        if isinstance(value, list):
            if not all(isinstance(item, Mapping) for item in value):
                break
            return [dict(item) for item in value]
        if not isinstance(value, str):
            break
        values = list(_json_values(value))
        value = values[0] if len(values) == 1 else values
    raise ValueError("arguments are not a JSON object")


def mend_arguments(value: Any) -> str:
    """The same arguments as LangChain reads them: JSON text of one object.

    What cannot be read becomes text that is no JSON at all, for `read_answer` to report: a list or
    a number would end the whole answer with an error.
    """
    try:
        sets = read_arguments(value)
    except ValueError:
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        return f"unreadable: {text}"
    if len(sets) == 1:
        return json.dumps(sets[0], ensure_ascii=False)
    return "".join(json.dumps(each, ensure_ascii=False) for each in sets)


_Call = tuple[str | None, str, dict[str, Any], str | None]


def _text_of(content: str | list[Any]) -> str:
    if isinstance(content, str):
        return content
    pieces = []
    for block in content:
        if isinstance(block, str):
            pieces.append(block)
        elif isinstance(block, Mapping) and block.get("type") == "text":
            pieces.append(str(block.get("text") or ""))
    return "".join(pieces)


def _reasoning_of(message: "AIMessage", raw: str) -> str:
    for key in ("reasoning_content", "reasoning"):
        if told := message.additional_kwargs.get(key):
            return str(told)
    if isinstance(message.content, list):
        for block in message.content:
            if isinstance(block, Mapping) and block.get("type") in ("thinking", "reasoning"):
                return str(block)
    return raw


def _proper_calls(message: "AIMessage") -> Iterator[_Call]:
    for call in message.tool_calls:
        yield from _calls(call.get("id"), call["name"], call["args"])
    for broken in message.invalid_tool_calls:
        yield from _calls(broken.get("id"), broken.get("name") or "", broken.get("args"))


def _calls(call_id: str | None, name: str, arguments: Any) -> Iterator[_Call]:
    """One call for each set of arguments; what cannot be read is its problem."""
    try:
        sets = read_arguments(arguments)
    except ValueError as error:
        yield call_id, name, {}, str(error)
        return
    for args in sets:
        yield call_id, name, args, None


def _with_ids(calls: list[_Call]) -> Iterator[ToolCall]:
    seen: set[str] = set()
    for position, (call_id, name, args, problem) in enumerate(calls, start=1):
        unique = call_id or f"call_{position}"
        while unique in seen:
            unique = f"{unique}_{position}"
        seen.add(unique)
        yield ToolCall(_written(unique), _written(name), _written(args), problem)


def _written(value: Any) -> Any:
    """The same value, as it can be written down; a number that is too large becomes its digits."""
    if isinstance(value, str):
        return _NOT_WRITTEN.sub("", value)
    if isinstance(value, Mapping):
        return {_written(key): _written(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_written(inner) for inner in value]
    if isinstance(value, int) and abs(value) > _LARGEST:
        return str(value)
    return value


def _cut_calls(text: str) -> tuple[str, list[_Call]]:
    """Take every call out of the text, and whatever looks like the remains of one."""
    if not text:
        return text, []
    calls: list[_Call] = []

    def named(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        calls.extend(_as_calls({"name": name, "arguments": match[2] or match[4] or {}}))
        return ""

    text = _NAMED_CALL.sub(named, text)
    kept, position = [], 0
    for start, end, value in _embedded_json(text):
        found = list(_as_calls(value))
        whole = not text[:start].strip("`json \n") and not text[end:].strip("` \n")
        if found or whole:
            calls.extend(found)
            kept.append(text[position:start])
            position = end
    kept.append(text[position:])
    text = "".join(kept)
    text = _EMPTY_FENCE.sub("", _CALL_MARKS.sub("", text))
    text = _BROKEN_CALL.sub("", text)
    return text.strip().strip(",;").strip() if calls else text.strip(), calls


def _as_calls(value: Any, level: int = 0) -> Iterator[_Call]:
    if level > _DEEPEST:
        return
    if isinstance(value, list):
        for item in value:
            yield from _as_calls(item, level + 1)
        return
    if not isinstance(value, Mapping):
        return
    if isinstance(value.get("tool_calls"), list):
        yield from _as_calls(value["tool_calls"], level + 1)
        return
    inner = value.get("function") or value.get("function_call")
    if isinstance(inner, Mapping):
        yield from _as_calls({"id": value.get("id"), **inner}, level + 1)
        return
    name = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
    key = next((key for key in _ARGUMENT_KEYS if key in value), None)
    if name is None or key is None:
        return
    call_id = value.get("id") if isinstance(value.get("id"), str) else None
    yield from _calls(call_id, name, value[key])


def _is_deep(value: Any) -> bool:
    """Whether JSON goes deeper than anybody here could follow."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list) else ()


def _embedded_json(text: str) -> Iterator[tuple[int, int, Any]]:
    """Objects and lists that stand in the text, with where they start and end."""
    decoder = json.JSONDecoder(strict=False)
    straight = text.translate(_CURLY)  # same length, so positions agree
    position, tries = 0, 0
    while tries < _MAX_JSON_VALUES and (match := re.compile(r"[\[{]").search(text, position)):
        tries += 1
        for source in (text, straight):
            try:
                value, end = decoder.raw_decode(source, match.start())
            except (ValueError, RecursionError):
                continue
            yield match.start(), end, value
            position = end
            break
        else:
            position = match.end()


def _json_values(text: str) -> Iterator[Any]:
    """All JSON values of a text that holds nothing else."""
    decoder = json.JSONDecoder(strict=False)
    for source in (text.strip(), text.strip().translate(_CURLY)):
        values: list[Any] = []
        position = 0
        try:
            while position < len(source) and len(values) < _MAX_JSON_VALUES:
                value, position = decoder.raw_decode(source, position)
                values.append(value)
                while position < len(source) and source[position] in " \t\r\n,;":
                    position += 1
        except (ValueError, RecursionError):
            continue
        yield from values
        return
    raise ValueError("arguments are not valid JSON")
