"""A shop agent whose behaviour a test writes down.

    agent = ScriptedAgent()                      # by default it says back what it heard
    agent.next(says("Harganya Rp25.000"))        # the next run; further ones go on with the script
    thinking = agent.next_waits()                # a run that stops at a barrier ...
    await thinking.entered(); thinking.go_on()   # ... and goes on when told
    agent.next(calls_tool("update_customer_profile", effect)), is_away("rate_limit"), fails(error)

A behaviour journals what it says before it returns it, as the real runner does; a run that finds
a draft or a tool's result in the journal goes on from there.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias

from commerce_agent.application.ports.shop_agent import (
    AgentOutcome,
    AgentUnavailable,
    Draft,
    EffectKey,
    HandedOver,
    Heard,
    Journal,
    Spoken,
    ToolDone,
    ToolRequest,
    Turn,
)

Behaviour: TypeAlias = Callable[[Turn, Journal], Awaitable[AgentOutcome]]
Effect: TypeAlias = Callable[[EffectKey], Awaitable[str]]


def heard(journal: Journal) -> list[str]:
    """What the customer has said in this turn, as the agent may see it."""
    return [step.text for step in journal.steps if isinstance(step, Heard)]


async def echo(turn: Turn, journal: Journal) -> AgentOutcome:
    """Say back everything that was heard, in one line."""
    return await says("Jawaban untuk: " + " | ".join(heard(journal)))(turn, journal)


def says(text: str, *, fault: str | None = None) -> Behaviour:
    """Answer with this text; a draft that is in the journal already is not made anew."""

    async def behave(turn: Turn, journal: Journal) -> AgentOutcome:
        last = journal.steps[-1] if journal.steps else None
        if isinstance(last, Spoken) and not last.tool_calls:
            return Draft(text=last.text, fault=fault, prompt_version="test-1")
        await journal.spoken(Spoken(text=text, model="scripted", tokens_in=10, tokens_out=5))
        return Draft(text=text, fault=fault, prompt_version="test-1")

    return behave


def is_away(cause: str = "model_unavailable", retry_after: timedelta | None = None) -> Behaviour:
    """No model can answer."""

    async def behave(turn: Turn, journal: Journal) -> AgentOutcome:
        raise AgentUnavailable(cause=cause, retry_after=retry_after)

    return behave


def fails(error: Exception) -> Behaviour:
    """Something that nobody foresaw."""

    async def behave(turn: Turn, journal: Journal) -> AgentOutcome:
        raise error

    return behave


def calls_tool(name: str, effect: Effect, *, then: Behaviour = echo) -> Behaviour:
    """Ask for one tool that changes something, then go on; a journaled result is not asked for
    again."""

    async def behave(turn: Turn, journal: Journal) -> AgentOutcome:
        request = ToolRequest(id="call-1", name=name, args={})
        if not any(isinstance(step, Spoken) for step in journal.steps):
            await journal.spoken(Spoken(text="", tool_calls=(request,), model="scripted"))
        if not any(isinstance(step, ToolDone) for step in journal.steps):
            result = await effect(journal.effect(request, call=0))
            await journal.adopt(ToolDone(request=request, result=result), call=0)
        return await then(turn, journal)

    return behave


def hands_over(effect: Effect) -> Behaviour:
    """Ask for a person by the tool."""

    async def behave(turn: Turn, journal: Journal) -> AgentOutcome:
        request = ToolRequest(id="call-1", name="hand_over_to_human", args={})
        await journal.spoken(Spoken(text="", tool_calls=(request,), model="scripted"))
        await effect(journal.effect(request, call=0))
        return HandedOver()

    return behave


@dataclass
class Barrier:
    """Where a run waits for the test."""

    _entered: asyncio.Event = field(default_factory=asyncio.Event)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    async def entered(self) -> None:
        """Return when the run has come here."""
        await asyncio.wait_for(self._entered.wait(), 10)

    def go_on(self) -> None:
        self._released.set()

    async def here(self) -> None:
        self._entered.set()
        await asyncio.wait_for(self._released.wait(), 30)


def waits(barrier: Barrier, then: Behaviour = echo) -> Behaviour:
    """Stop at the barrier, then go on."""

    async def behave(turn: Turn, journal: Journal) -> AgentOutcome:
        await barrier.here()
        return await then(turn, journal)

    return behave


@dataclass
class ScriptedAgent:
    """Implements `ShopAgent`; ``turns`` and ``seen`` remember every run."""

    default: Behaviour = echo
    turns: list[Turn] = field(default_factory=list)
    seen: list[list[str]] = field(default_factory=list)
    _script: deque[Behaviour] = field(default_factory=deque)

    def next(self, *behaviours: Behaviour) -> None:
        """What the coming runs do."""
        self._script.extend(behaviours)

    def next_waits(self, then: Behaviour = echo) -> Barrier:
        """The coming run stops at the barrier that is returned."""
        barrier = Barrier()
        self.next(waits(barrier, then))
        return barrier

    async def run(self, turn: Turn, journal: Journal) -> AgentOutcome:
        self.turns.append(turn)
        self.seen.append(heard(journal))
        behave = self._script.popleft() if self._script else self.default
        return await behave(turn, journal)
