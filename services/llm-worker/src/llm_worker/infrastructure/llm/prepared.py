"""Models and tools as calls use them, prepared once.

A model is asked directly, past LangChain's callbacks, cache and tracing: they are off in this
process, and passing them by costs a call more than everything else that we do around it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableBinding
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

_MOST_SETS = 64


class ToolSet:
    """Tools as every provider's model takes them."""

    def __init__(self, tools: Sequence[BaseTool | Mapping[str, Any]]) -> None:
        self.schemas = [convert_to_openai_tool(cast(Any, tool)) for tool in tools]
        self.names = frozenset(str(schema["function"]["name"]) for schema in self.schemas)


class ToolSets:
    """The sets that callers keep offering, known by the very sequence that they hand over."""

    def __init__(self) -> None:
        self._sets: dict[int, tuple[Sequence[BaseTool | Mapping[str, Any]], ToolSet]] = {}

    def of(self, tools: Sequence[BaseTool | Mapping[str, Any]]) -> ToolSet:
        known = self._sets.get(id(tools))
        if known is not None and known[0] is tools:
            return known[1]
        if len(self._sets) >= _MOST_SETS:
            self._sets.clear()
        made = ToolSet(tools)
        self._sets[id(tools)] = (tools, made)
        return made


class PreparedModel:
    """One model, and how it is asked with the tools that it was offered last."""

    def __init__(self, model: BaseChatModel) -> None:
        self.model = model
        self._offered: tuple[ToolSet, BaseChatModel, Mapping[str, Any]] | None = None

    async def ask(self, messages: list[BaseMessage], tools: ToolSet) -> AIMessage:
        """One answer, or the error that the provider's SDK raised."""
        model, options = self._with(tools)
        result = await model._agenerate(messages, **options)
        [generation] = result.generations
        message = cast(AIMessage, generation.message)
        told = {**(result.llm_output or {}), **(generation.generation_info or {})}
        message.response_metadata = {**told, **message.response_metadata}
        return message

    def _with(self, tools: ToolSet) -> tuple[BaseChatModel, Mapping[str, Any]]:
        if not tools.schemas:
            return self.model, {}
        if self._offered is None or self._offered[0] is not tools:
            bound: Any = self.model.bind_tools(tools.schemas)
            if isinstance(bound, RunnableBinding):
                self._offered = (tools, cast(BaseChatModel, bound.bound), bound.kwargs)
            else:
                self._offered = (tools, bound, {})
        return self._offered[1:]
