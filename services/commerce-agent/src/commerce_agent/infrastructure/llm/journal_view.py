"""Questions that the runner's loop asks of a journal. Pure functions of its steps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from commerce_agent.application.ports.shop_agent import (
    Checked,
    Discarded,
    Heard,
    JournalStep,
    Spoken,
    ToolDone,
    ToolRequest,
)


@dataclass(slots=True)
class Exchange:
    """One answer of the model and what came of it."""

    spoken: Spoken
    done: dict[str, ToolDone] = field(default_factory=dict)
    """By the id of the request; ids are unique within one answer only."""
    heard: list[Heard] = field(default_factory=list)
    """What the customer said after it and before the next one."""
    checked: Checked | None = None
    discarded: bool = False

    @property
    def is_draft(self) -> bool:
        return not self.spoken.tool_calls

    @property
    def is_overtaken(self) -> bool:
        """A draft that was not sent because the customer spoke first."""
        return self.is_draft and self.checked is None and (self.discarded or bool(self.heard))

    @property
    def is_waiting_draft(self) -> bool:
        """A draft that nobody has judged yet."""
        return self.is_draft and self.checked is None and not self.is_overtaken

    def pending(self) -> list[tuple[int, ToolRequest]]:
        """Requests without a result, with their place in the answer."""
        requests = enumerate(self.spoken.tool_calls)
        return [(call, each) for call, each in requests if each.id not in self.done]


def opening(steps: Sequence[JournalStep]) -> list[Heard]:
    """What the customer had said before the model answered for the first time."""
    heard: list[Heard] = []
    for step in steps:
        if isinstance(step, Spoken):
            break
        if isinstance(step, Heard):
            heard.append(step)
    return heard


def exchanges(steps: Sequence[JournalStep]) -> list[Exchange]:
    """The answers of a turn in order, each with its results."""
    found: list[Exchange] = []
    for step in steps:
        if isinstance(step, Spoken):
            found.append(Exchange(step))
        elif found:
            _note(found[-1], step)
    return found


def all_heard(steps: Sequence[JournalStep]) -> Iterator[Heard]:
    return (step for step in steps if isinstance(step, Heard))


def all_done(steps: Sequence[JournalStep]) -> Iterator[ToolDone]:
    return (step for step in steps if isinstance(step, ToolDone))


def model_calls(steps: Sequence[JournalStep]) -> int:
    return sum(isinstance(step, Spoken) for step in steps)


def tool_calls(steps: Sequence[JournalStep]) -> int:
    return sum(isinstance(step, ToolDone) for step in steps)


def repairs_since_heard(steps: Sequence[JournalStep]) -> int:
    """How often a draft was sent back since the customer last spoke."""
    count = 0
    for step in reversed(steps):
        if isinstance(step, Heard):
            break
        count += isinstance(step, Checked)
    return count


def _note(exchange: Exchange, step: JournalStep) -> None:
    match step:
        case ToolDone():
            exchange.done[step.request.id] = step
        case Heard():
            exchange.heard.append(step)
        case Checked():
            exchange.checked = step
        case Discarded():
            exchange.discarded = True
        case _:
            raise AssertionError(step)
