"""A turn and its journal as the messages that a model reads: nothing else decides what it sees, so
a worker that takes a turn over shows its model exactly what the last one did."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from commerce_agent.application.agent_tools.context import error_result
from commerce_agent.application.ports.shop_agent import JournalStep, Said, Turn
from commerce_agent.infrastructure.llm.journal_view import Exchange, exchanges, opening
from commerce_agent.infrastructure.llm.prompts import SHOP_WROTE_FIRST, repair_note, system_prompt

_LONGEST_HEARD = 4000
_LONGEST_SAID = 1500
_TEMPLATE_TOKENS = re.compile(
    r"\[(/?(?:INST|SYS|TOOL_CALLS|AVAILABLE_TOOLS)[^\]\n]{0,20})\]", re.IGNORECASE
)
_JOINER = "\u200d"


def build_messages(
    turn: Turn, steps: Sequence[JournalStep], language: str, *, history: int
) -> list[BaseMessage]:
    """The system prompt, the last ``history`` things that were said, and the turn so far.

    Tool results stand right behind the answer that asked for them, also when the customer spoke in
    between; a draft that the customer overtook is left out.
    """
    said = turn.history[-history:] if history else ()
    conversation = [*_history(said), *_turn(steps)]
    if conversation and not isinstance(conversation[0], HumanMessage):
        conversation.insert(0, HumanMessage(SHOP_WROTE_FIRST))  # some providers want a person first
    return [SystemMessage(system_prompt(turn, language)), *_merged(conversation)]


def as_data(text: str, *, longest: int = _LONGEST_HEARD) -> str:
    """A customer's words inside their delimiters, unable to end them.

    Angle brackets become look-alikes, hidden characters vanish, and words beyond ``longest`` are
    cut off.
    """
    shown = text
    if not text.isprintable():
        shown = "".join(c for c in text if c in "\n\t" or c == _JOINER or _is_seen(c))
    shown = shown.translate({ord("<"): "‹", ord(">"): "›"})
    shown = _TEMPLATE_TOKENS.sub(r"(\1)", shown)
    if len(shown) > longest:
        shown = shown[:longest] + " […]"
    return f"<customer_message>{shown.strip()}</customer_message>"


def _is_seen(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")


def _history(said: Iterable[Said]) -> Iterator[BaseMessage]:
    for each in said:
        if each.by == "customer":
            yield HumanMessage(as_data(each.text, longest=_LONGEST_SAID))
        elif each.text.strip():
            yield AIMessage(each.text[:_LONGEST_SAID])


def _turn(steps: Sequence[JournalStep]) -> Iterator[BaseMessage]:
    yield from (HumanMessage(as_data(heard.text)) for heard in opening(steps))
    for number, exchange in enumerate(exchanges(steps)):
        if not exchange.is_overtaken:
            yield from _exchange(exchange, number)
        yield from (HumanMessage(as_data(heard.text)) for heard in exchange.heard)


def _exchange(exchange: Exchange, number: int) -> Iterator[BaseMessage]:
    spoken = exchange.spoken
    ids = {request.id: _call_id(number, call) for call, request in enumerate(spoken.tool_calls)}
    yield AIMessage(
        spoken.text,
        tool_calls=[
            {"id": ids[each.id], "name": each.name, "args": dict(each.args), "type": "tool_call"}
            for each in spoken.tool_calls
        ],
    )
    for request in spoken.tool_calls:
        done = exchange.done.get(request.id)
        result = done.result if done else error_result("not_done", "This call was not carried out.")
        yield ToolMessage(result, tool_call_id=ids[request.id], name=request.name)
    if exchange.checked is not None:
        yield HumanMessage(repair_note(exchange.checked.problems))


def _call_id(exchange: int, call: int) -> str:
    """Nine letters and digits, as the strictest provider wants them, and unique in the turn, which
    the ids that models make up are not."""
    return f"call{exchange:02}{call:03}"


def _merged(messages: Iterable[BaseMessage]) -> Iterator[BaseMessage]:
    """Neighbouring messages of the customer as one: many models expect the sides to alternate."""
    waiting: list[str] = []
    for message in messages:
        if isinstance(message, HumanMessage):
            waiting.append(str(message.content))
            continue
        if waiting:
            yield HumanMessage("\n".join(waiting))
            waiting = []
        yield message
    if waiting:
        yield HumanMessage("\n".join(waiting))
