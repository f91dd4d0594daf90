"""The shop agent's loop: ask the model, carry out what it asks for, check what it wants to say.

The graph is built once and has one node; the loop inside it is plain Python, because a graph of
several nodes costs four times the CPU and three times the memory and gives us nothing: the journal
is what makes a turn resumable, and the caps are counted in it. For the same reason there is no
state: the node is handed its turn and hands back the outcome, in one step.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import Any, cast

from langgraph.channels import EphemeralValue
from langgraph.pregel import NodeBuilder, Pregel

from commerce_agent.application.agent_tools.context import ToolExecutor
from commerce_agent.application.ports.shop_agent import (
    AgentOutcome,
    AgentUnavailable,
    Checked,
    Draft,
    HandedOver,
    Journal,
    ShopCard,
    Spoken,
    ToolRequest,
    Turn,
)
from commerce_agent.domain.services.customer_language import choose_language
from commerce_agent.domain.services.outgoing_check import check_draft, fixed_facts
from commerce_agent.domain.services.safe_templates import Fault, safe_answer
from commerce_agent.domain.services.whatsapp_text import to_whatsapp
from commerce_agent.domain.value_objects.facts import Fact
from commerce_agent.infrastructure.llm import journal_view as view
from commerce_agent.infrastructure.llm.conversation_messages import build_messages
from commerce_agent.infrastructure.llm.prompts import PROMPT_VERSION
from commerce_agent.infrastructure.llm.tool_calls import ToolCalls
from commerce_agent.infrastructure.llm.tools.tool_registry import ToolRegistry
from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.infrastructure.llm.errors import ContextTooLong, ModelRefused
from llm_worker.infrastructure.llm.model_call import ModelCaller, ModelReply
from llm_worker.infrastructure.llm.response_validator import InvalidResponse
from shared.kernel.errors import DomainError, Unavailable

MAX_MODEL_CALLS = 8
MAX_TOOL_CALLS = 12
_HISTORY = 30
"""Earlier messages that a model is shown; a third of them when it says they are too many."""

Monotonic = Callable[[], float]


class _NoAnswer(Exception):
    """The model has nothing to say; ``fault`` chooses the template."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault


@dataclass(frozen=True, slots=True)
class _Run:
    """What the graph's node is handed."""

    turn: Turn
    journal: Journal
    models: Sequence[LLMConfig]


class CRMLangGraphRunner:
    """Answers turns. One per process; it keeps nothing between turns."""

    def __init__(
        self,
        caller: ModelCaller,
        executors: Mapping[str, ToolExecutor],
        *,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._caller = caller
        self._tools = ToolRegistry(executors)
        self._monotonic = monotonic
        agent = NodeBuilder().subscribe_only("run").do(self._agent).write_to("outcome")
        self._graph: Pregel[Any, None, _Run, AgentOutcome] = Pregel(
            nodes={"agent": agent},
            channels={"run": EphemeralValue(_Run), "outcome": EphemeralValue(object)},
            input_channels="run",
            output_channels="outcome",
        )

    async def run(self, turn: Turn, journal: Journal, models: Sequence[LLMConfig]) -> AgentOutcome:
        """Go on where the journal stands, until there is something to send or nothing left to say.

        Calls that the model asked for and that have no result are carried out first; a draft that
        was spoken and not judged is judged. At most `MAX_MODEL_CALLS` and `MAX_TOOL_CALLS` are in
        the journal of a turn, however often it is resumed.

        Raises:
            AgentUnavailable: no model can answer at the moment.
            Fenced: the conversation is no longer ours.
        """
        return cast(AgentOutcome, await self._graph.ainvoke(_Run(turn, journal, models)))

    async def _agent(self, run: _Run) -> AgentOutcome:
        return await _TurnLoop(run, self._caller, self._tools, self._monotonic).outcome()


class _TurnLoop:
    """One run of one turn."""

    def __init__(
        self, run: _Run, caller: ModelCaller, tools: ToolRegistry, monotonic: Monotonic
    ) -> None:
        self._turn, self._journal, self._models = run.turn, run.journal, run.models
        self._caller = caller
        self._tools = tools
        self._monotonic = monotonic
        self._began = monotonic()
        self._language = _language(run.turn, run.journal)
        self._calls = ToolCalls(run.turn, run.journal, tools, self._language)

    async def outcome(self) -> AgentOutcome:
        while True:
            exchanges = view.exchanges(self._journal.steps)
            last = exchanges[-1] if exchanges else None
            if last is not None and self._calls.ended_by(last):
                return HandedOver()
            if last is not None and (pending := last.pending()):
                await self._carry_out(*pending[0])
            elif last is not None and last.is_waiting_draft:
                if (judged := await self._judge(last.spoken)) is not None:
                    return judged
            elif self._is_spent():
                return self._template(Fault.CAPS)
            else:
                try:
                    await self._journal.spoken(await self._think())
                except _NoAnswer as error:
                    return self._template(error.fault)

    async def _carry_out(self, call: int, request: ToolRequest) -> None:
        if view.tool_calls(self._journal.steps) < MAX_TOOL_CALLS:
            await self._calls.carry_out(call, request)
        else:  # answered all the same: a turn with open requests could not take in a new message
            await self._calls.refuse(call, request)

    def _is_spent(self) -> bool:
        """Whether the turn may ask the model no more."""
        steps = self._journal.steps
        return view.model_calls(steps) >= MAX_MODEL_CALLS or view.tool_calls(steps) > MAX_TOOL_CALLS

    async def _judge(self, draft: Spoken) -> Draft | None:
        """The draft, if it may leave; ``None``: the model was asked to mend it."""
        if not to_whatsapp(draft.text):
            return self._template(Fault.NO_ANSWER)  # nothing but a picture or a rule
        problems = check_draft(draft.text, self._facts(), currency=self._turn.shop.currency)
        if not problems:
            return Draft(text=draft.text, prompt_version=PROMPT_VERSION)
        steps = self._journal.steps
        if view.repairs_since_heard(steps) or view.model_calls(steps) >= MAX_MODEL_CALLS:
            return self._template(Fault.INVALID_DRAFT)
        await self._journal.checked(Checked(problems=tuple(str(each) for each in problems)))
        return None

    def _facts(self) -> set[Fact]:
        facts = set(_shop_facts(self._turn.shop))
        for done in view.all_done(self._journal.steps):
            facts.update(done.facts)
        return facts

    async def _think(self) -> Spoken:
        try:
            reply = await self._ask()
        except InvalidResponse as error:  # the caller has tried twice
            raise _NoAnswer(Fault.NO_ANSWER) from error
        except ModelRefused as error:
            raise _NoAnswer(Fault.REFUSED) from error
        except ContextTooLong as error:  # waiting makes nothing shorter
            raise _NoAnswer(Fault.CAPS) from error
        except DomainError as error:
            wait = error.retry_after if isinstance(error, Unavailable) else None
            raise AgentUnavailable(error.detail, retry_after=wait, cause=error.code) from error
        spoken = _spoken(reply)
        left = MAX_TOOL_CALLS - view.tool_calls(self._journal.steps)
        return replace(spoken, tool_calls=spoken.tool_calls[: max(left, 1)])

    async def _ask(self) -> ModelReply:
        """Once more where that can help: with a shorter past, or after a refusal."""
        try:
            return await self._call(_HISTORY)
        except ContextTooLong:
            return await self._call(_HISTORY // 3)
        except ModelRefused:
            return await self._call(0)

    async def _call(self, history: int) -> ModelReply:
        elapsed = self._monotonic() - self._began
        steps = self._journal.steps
        return await self._caller.call_recorded(
            self._models,
            build_messages(self._turn, steps, self._language, history=history),
            tools=self._tools.schemas(self._calls.state),
            deadline=self._turn.deadline - timedelta(seconds=elapsed),
        )

    def _template(self, fault: Fault) -> Draft:
        return Draft(
            text=safe_answer(fault, self._language), fault=fault, prompt_version=PROMPT_VERSION
        )


@lru_cache(maxsize=1024)
def _shop_facts(shop: ShopCard) -> frozenset[Fact]:
    """What a shop's own texts let every answer say; read again only when they change."""
    own = (shop.name, shop.about, shop.address, shop.hours, *shop.policies)
    return fixed_facts(own, shop.links, currency=shop.currency)


def _spoken(reply: ModelReply) -> Spoken:
    """Keep an answer as it may be used.

    Raises:
        _NoAnswer: nothing of it may.
    """
    answer = reply.answer
    if answer.is_empty:
        raise _NoAnswer(Fault.NO_ANSWER)
    return Spoken(
        text=answer.text,
        tool_calls=tuple(
            ToolRequest(id=call.id, name=call.name, args=call.args, problem=call.problem)
            for call in answer.tool_calls
        ),
        model=reply.record.model,
        tokens_in=reply.record.tokens_in,
        tokens_out=reply.record.tokens_out,
        milliseconds=reply.record.milliseconds,
    )


def _language(turn: Turn, journal: Journal) -> str:
    heard = [each.text for each in view.all_heard(journal.steps)]
    earlier = [said.text for said in turn.history if said.by == "customer"]
    recent = reversed([*earlier[-5:], *heard])
    return choose_language(turn.customer.language, recent, turn.shop.language)
