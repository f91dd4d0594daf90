"""A list of chat messages as the offline model sees it: who said what, and which tools answered."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from llm_worker.infrastructure.llm.offline.understanding import Understood, understand

_CUSTOMER = re.compile(r"<customer_message\b[^>]*>(.*?)</customer_message>", re.DOTALL)
_FIELD = re.compile(r"^\s*(?:[-*]\s*)?\**([A-Za-z][A-Za-z ]{1,30}?)\**\s*:\s*(.*?)\s*$")
_BULLET = re.compile(r"^\s*[-*•]\s+(.*\S)")
_NUMBERED = re.compile(r"^\s*(\d{1,2})[.)]\s+(.+)$", re.MULTILINE)
_BOLD = re.compile(r"\*{1,2}([^*\n]{2,80})\*{1,2}")
_AFTER_NAME = re.compile(r"\s+[–—-]\s|:\s|\s+Rp|\s+\(")

_LABELS = {
    "shop": "name",
    "toko": "name",
    "language": "language",
    "address": "address",
    "shop address": "address",
    "alamat": "address",
    "hours": "hours",
    "opening hours": "hours",
    "jam buka": "hours",
    "jam operasional": "hours",
    "open": "hours",
    "customer": "customer",
    "customer name": "customer",
    "policies": "policies",
    "policy": "policies",
    "kebijakan": "policies",
    "delivery": "policies",
    "payment": "policies",
}
_MEMORY = 12
"""Earlier messages of the customer that may still be what "it" means."""


@dataclass(frozen=True, slots=True)
class Shop:
    """What the system prompt tells of the shop, as far as it is written there."""

    name: str = ""
    language: str = "id"
    address: str = ""
    hours: str = ""
    customer: str = ""
    """The customer's name, when the prompt knows it."""
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """A tool call of this turn and what came back."""

    name: str
    args: Mapping[str, Any]
    data: Mapping[str, Any]

    @property
    def failed(self) -> bool:
        return "error" in self.data

    @property
    def is_near(self) -> bool:
        """A search that found only what comes closest: the tool then says so in a note."""
        return bool(self.data.get("near") or self.data.get("note"))


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One turn to answer, with what came before it."""

    shop: Shop
    language: str
    heard: tuple[Understood, ...]
    """Messages that nobody has answered, oldest first."""
    texts: tuple[str, ...]
    """The same as typed."""
    results: tuple[Result, ...]
    earlier: tuple[Understood, ...] = ()
    """What the customer said in earlier turns, oldest first."""
    earlier_texts: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    """Products that the newest answer that named any has named, in its order."""
    numbered: tuple[tuple[str, ...], ...] = ()
    """The numbered lists that were shown, newest first."""
    offered_person: bool = False
    """The last answer ended with the offer to call somebody."""
    mending: bool = False
    """A draft of this turn was refused: the next one must be plainer."""

    def result(self, name: str, args: Mapping[str, Any]) -> Result | None:
        for result in self.results:
            if result.name == name and dict(result.args) == dict(args):
                return result
        return None


@dataclass(slots=True)
class _Reading:
    """Where the walk through the messages stands."""

    heard: list[str] = field(default_factory=list)
    earlier: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    calls: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    answered: bool = False
    mending: bool = False

    def customer(self, text: str) -> None:
        if self.answered:
            self.earlier.extend(self.heard)
            self.heard, self.results = [], []
            self.answered = self.mending = False
        self.heard.append(text)

    def note(self) -> None:
        """Code speaks after a draft: it was refused, so what was heard is still unanswered."""
        if self.answered:
            self.answered, self.mending = False, True
            self.answers.pop()

    def answer(self, message: AIMessage) -> None:
        for call in message.tool_calls:
            self.calls[call["id"] or ""] = (call["name"], call["args"])
        text = _plain(message)
        if text and not message.tool_calls:
            self.answers.append(text)
            self.answered = True

    def result(self, message: ToolMessage) -> None:
        name, args = self.calls.get(message.tool_call_id, (message.name or "", {}))
        self.results.append(Result(name, args, _json(_plain(message))))


def read_dialogue(messages: Sequence[BaseMessage], offer_marks: Sequence[str]) -> Dialogue:
    """Sort the messages. ``offer_marks`` are the words by which an offered person is known."""
    shop, reading = Shop(), _Reading()
    is_tagged = any(
        isinstance(message, HumanMessage) and _CUSTOMER.search(_plain(message))
        for message in messages
    )
    for position, message in enumerate(messages):
        if isinstance(message, SystemMessage):
            if position == 0:
                shop = read_shop(_plain(message))
            else:
                reading.note()
        elif isinstance(message, HumanMessage):
            _read_human(_plain(message), reading, is_tagged=is_tagged)
        elif isinstance(message, AIMessage):
            reading.answer(message)
        elif isinstance(message, ToolMessage):
            reading.result(message)
    heard = tuple(understand(text) for text in reading.heard)
    recent = tuple(reading.earlier[-_MEMORY:])
    earlier = tuple(understand(text) for text in recent)
    last = reading.answers[-1] if reading.answers else ""
    return Dialogue(
        shop=shop,
        language=_language(heard, earlier, shop),
        heard=heard,
        texts=tuple(reading.heard),
        results=tuple(reading.results),
        earlier=earlier,
        earlier_texts=recent,
        listed=_newest_list(reading.answers),
        numbered=tuple(filter(None, map(_numbered, reversed(reading.answers)))),
        offered_person=any(mark in last for mark in offer_marks),
        mending=reading.mending,
    )


def read_shop(prompt: str) -> Shop:
    """Read ``Label: value`` lines, and the bullets below a label that stands alone."""
    found: dict[str, list[str]] = {}
    below: str | None = None
    for line in prompt.splitlines():
        match, bullet = _FIELD.match(line), _BULLET.match(line)
        label = _LABELS.get(match[1].strip().lower()) if match else None
        if match and label:
            below = label
            if match[2]:
                found.setdefault(label, []).append(match[2])
        elif bullet and below == "policies":
            found.setdefault("policies", []).append(bullet[1])
        elif line.strip() and not bullet:
            below = None
    return Shop(
        name=_first(found, "name"),
        language="en" if _first(found, "language").lower().startswith("en") else "id",
        address=_first(found, "address"),
        hours=_first(found, "hours"),
        customer=_first(found, "customer"),
        policies=tuple(found.get("policies", ())),
    )


def _first(found: Mapping[str, list[str]], label: str) -> str:
    return found[label][0] if found.get(label) else ""


def _read_human(text: str, reading: _Reading, *, is_tagged: bool) -> None:
    """Where customers' words are delimited, what stands outside was written by code."""
    if not is_tagged:
        reading.customer(text.strip())
        return
    if _CUSTOMER.sub("", text).strip():
        reading.note()
    for said in _CUSTOMER.findall(text):
        reading.customer(said.strip())


def _plain(message: BaseMessage) -> str:
    content = message.content
    if isinstance(content, str):
        return content
    return "".join(
        block if isinstance(block, str) else str(block.get("text", "")) for block in content
    )


def _json(text: str) -> Mapping[str, Any]:
    try:
        data = json.loads(text)
    except ValueError:
        return {"error": {"code": "unreadable"}}
    return data if isinstance(data, dict) else {"error": {"code": "unreadable"}}


def _language(heard: Sequence[Understood], earlier: Sequence[Understood], shop: Shop) -> str:
    """The customer's own, newest first; the shop's when no message tells."""
    newest_first = (*reversed(heard), *reversed(earlier))
    told = [each.language for each in newest_first if each.language]
    guessed = [each.food_language for each in newest_first if each.food_language]
    return (*told, *guessed, shop.language)[0]


def _newest_list(answers: Sequence[str]) -> tuple[str, ...]:
    for answer in reversed(answers):
        named = _numbered(answer) or tuple(name.strip() for name in _BOLD.findall(answer))
        if named:
            return named
    return ()


def _numbered(answer: str) -> tuple[str, ...]:
    return tuple(_name(line) for _, line in _NUMBERED.findall(answer))


def _name(line: str) -> str:
    if bold := _BOLD.search(line):
        return bold[1].strip()
    return _AFTER_NAME.split(line, maxsplit=1)[0].strip()
