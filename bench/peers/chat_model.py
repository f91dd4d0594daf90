"""A chat model that answers at once, or after a while: the same for our agent and for its peer."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

TOOL = "search_products"
QUERY = "kopi susu"
ANSWER = "Ada beberapa kopi susu. Mau yang panas atau yang dingin?"
_USAGE = {"input_tokens": 900, "output_tokens": 40, "total_tokens": 940}


class FakeChatModel(BaseChatModel):
    """Asks for `TOOL` once, if ``calls_tool``, and then says `ANSWER`; ``delay`` in seconds before
    each answer."""

    delay: float = 0.0
    calls_tool: bool = True

    @property
    def _llm_type(self) -> str:
        return "fake"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Any:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError("nobody here may block the event loop")

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.calls_tool and messages[-1].type != "tool":
            call = {"id": "call_1", "name": TOOL, "args": {"query": QUERY}, "type": "tool_call"}
            message = AIMessage("", tool_calls=[call], usage_metadata=_USAGE)
        else:
            message = AIMessage(ANSWER, usage_metadata=_USAGE)
        return ChatResult(generations=[ChatGeneration(message=message)])
