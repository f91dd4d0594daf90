"""Carrying out what a model asks for, and writing what came of it into the journal."""

import orjson
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import ValidationError

from commerce_agent.application.agent_tools.context import (
    AgentContext,
    ToolOutcome,
    error_result,
)
from commerce_agent.application.agent_tools.handle_book import HandleBook
from commerce_agent.application.ports.shop_agent import Journal, ToolDone, ToolRequest, Turn
from commerce_agent.domain.value_objects.conversation_state import ConversationState
from commerce_agent.infrastructure.llm import journal_view as view
from commerce_agent.infrastructure.llm.tools.arguments import ToolArguments
from commerce_agent.infrastructure.llm.tools.hand_over_tools import HAND_OVER
from commerce_agent.infrastructure.llm.tools.tool_registry import ToolRegistry
from shared.kernel.errors import DomainError, Invalid, NotFound, Unavailable


class UnknownTool(NotFound):
    """There is no such tool in this state of the conversation."""

    code = "unknown_tool"


class BadArguments(Invalid):
    """These arguments cannot be used."""

    code = "bad_arguments"


class ToolCalls:
    """The tool calls of one run of a turn."""

    def __init__(self, turn: Turn, journal: Journal, tools: ToolRegistry, language: str) -> None:
        self._turn = turn
        self._journal = journal
        self._tools = tools
        self._language = language
        shown = (each for done in view.all_done(journal.steps) for each in done.handles)
        self._handles = HandleBook((*turn.handles, *shown))

    @property
    def state(self) -> ConversationState:
        """Where the conversation stands, moved by the results of this turn."""
        moves = (done.state for done in view.all_done(self._journal.steps) if done.state)
        return [self._turn.state, *moves][-1]

    async def carry_out(self, call: int, request: ToolRequest) -> None:
        """Do what was asked and journal the result; what cannot be done is a result, too.

        Raises:
            Fenced: the conversation is no longer ours.
            Unavailable: our own database is away; nothing was journaled.
        """
        try:
            outcome = await self._run(call, request)
        except Unavailable:
            raise  # not the model's to know: the turn waits
        except DomainError as error:
            outcome = ToolOutcome(result=error_result(error.code, error.detail))
        done = ToolDone(
            request=request,
            result=outcome.result,
            facts=outcome.facts,
            handles=outcome.handles,
            state=outcome.state,
        )
        if outcome.committed:
            await self._journal.adopt(done, call=call)
        else:
            await self._journal.tool_done(done, call=call)

    async def refuse(self, call: int, request: ToolRequest) -> None:
        """Journal that a call was one too many; nothing is done."""
        result = error_result("too_many_calls", "This reply has used up its tool calls.")
        await self._journal.tool_done(ToolDone(request=request, result=result), call=call)

    def ended_by(self, exchange: view.Exchange) -> bool:
        """Whether the conversation was handed over in this exchange."""
        return any(
            done.request.name == HAND_OVER and orjson.loads(done.result).get("handed_over") is True
            for done in exchange.done.values()
        )

    async def _run(self, call: int, request: ToolRequest) -> ToolOutcome:
        tool = self._tools.find(request.name, self.state)
        if tool is None:
            offered = ", ".join(self._tools.names(self.state))
            raise UnknownTool(f"There is no such tool. There are: {offered}.")
        if request.problem is not None:
            raise BadArguments(f"The arguments could not be read: {request.problem}")
        arguments = _read(tool, request)
        assert isinstance(tool, StructuredTool)
        assert tool.coroutine is not None
        outcome: ToolOutcome = await tool.coroutine(self._context(call, request), **arguments)
        return outcome

    def _context(self, call: int, request: ToolRequest) -> AgentContext:
        turn = self._turn
        return AgentContext(
            tenant_id=turn.tenant_id,
            customer_id=turn.customer_id,
            conversation_id=turn.conversation_id,
            state=self.state,
            language=self._language,
            currency=turn.shop.currency,
            handles=self._handles,
            effect=lambda: self._journal.effect(request, call=call),
        )


def _read(tool: BaseTool, request: ToolRequest) -> dict[str, object]:
    schema = tool.args_schema
    assert isinstance(schema, type)
    assert issubclass(schema, ToolArguments)
    try:
        read = schema.model_validate(dict(request.args))
    except ValidationError as error:
        raise BadArguments(_told(error)) from error
    return {name: getattr(read, name) for name in read.model_fields_set}


def _told(error: ValidationError) -> str:
    """Which arguments are wrong and why, without repeating what they said."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{'.'.join(map(str, each['loc']))[:40] or 'arguments'}: {each['msg']}"
        for each in problems[:3]
    )
