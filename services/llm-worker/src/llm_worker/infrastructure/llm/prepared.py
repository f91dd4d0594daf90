"""Models and tools as calls use them, prepared once.

A model is asked directly, past LangChain's callbacks, cache and tracing: they are off in this
process, and passing them by costs a call more than everything else that we do around it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    message_chunk_to_message,
)
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableBinding
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from llm_worker.application.services.processing_service import TextStream

_MOST_SETS = 64


class ToolSet:
    """Tools as every provider's model takes them; ``must_call``: it has to call one of them."""

    def __init__(
        self, tools: Sequence[BaseTool | Mapping[str, Any]], *, must_call: bool = False
    ) -> None:
        self.schemas = [convert_to_openai_tool(cast(Any, tool)) for tool in tools]
        self.names = frozenset(str(schema["function"]["name"]) for schema in self.schemas)
        self.must_call = must_call


class ToolSets:
    """The sets that callers keep offering, known by the very sequence that they hand over."""

    def __init__(self) -> None:
        self._sets: dict[
            tuple[int, bool], tuple[Sequence[BaseTool | Mapping[str, Any]], ToolSet]
        ] = {}

    def of(
        self, tools: Sequence[BaseTool | Mapping[str, Any]], *, must_call: bool = False
    ) -> ToolSet:
        known = self._sets.get((id(tools), must_call))
        if known is not None and known[0] is tools:
            return known[1]
        if len(self._sets) >= _MOST_SETS:
            self._sets.clear()
        made = ToolSet(tools, must_call=must_call)
        self._sets[(id(tools), must_call)] = (tools, made)
        return made


class PreparedModel:
    """One model, and how it is asked with the tools that it was offered last."""

    def __init__(self, model: BaseChatModel) -> None:
        self.model = model
        self._offered: tuple[ToolSet, BaseChatModel, Mapping[str, Any]] | None = None

    async def ask(
        self, messages: list[BaseMessage], tools: ToolSet, stream: TextStream | None = None
    ) -> AIMessage:
        """One answer, or the error that the provider's SDK raised."""
        model, options = self._with(tools)
        if stream is not None:
            return await _streamed(model, messages, options, stream)
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
            choice = {"tool_choice": "any"} if tools.must_call else {}
            bound: Any = self.model.bind_tools(tools.schemas, **choice)
            if isinstance(bound, RunnableBinding):
                self._offered = (tools, cast(BaseChatModel, bound.bound), bound.kwargs)
            else:
                self._offered = (tools, bound, {})
        return self._offered[1:]


async def _streamed(
    model: BaseChatModel,
    messages: list[BaseMessage],
    options: Mapping[str, Any],
    stream: TextStream,
) -> AIMessage:
    """The same answer, told to ``stream`` while it is written."""
    whole: ChatGenerationChunk | None = None
    stream.begin()
    async for chunk in model._astream(messages, **options):
        stream.add(chunk.text)
        whole = chunk if whole is None else whole + chunk
    if whole is None:
        return AIMessage("")
    message = cast(AIMessage, message_chunk_to_message(cast(AIMessageChunk, whole.message)))
    message.response_metadata = {**(whole.generation_info or {}), **message.response_metadata}
    return message
