"""A chat model without a model: it reads Indonesian and English by rules and calls real tools.

It lets the whole platform run on a machine without network, key or cost, and it is labelled
"offline demo model" wherever a person could take it for more. Same messages, same answer.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import sha256
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ToolCall,
    UsageMetadata,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field

from llm_worker.infrastructure.llm.offline.dialogue import read_dialogue
from llm_worker.infrastructure.llm.offline.jobs import answer_job, is_job
from llm_worker.infrastructure.llm.offline.phrases import OFFER_MARKS
from llm_worker.infrastructure.llm.offline.planning import Call, next_calls
from llm_worker.infrastructure.llm.offline.structured import fill
from llm_worker.infrastructure.llm.offline.writing import write_answer

MODEL_NAME = "offline-demo"
_CHARACTERS_PER_TOKEN = 4


class OfflineChatModel(BaseChatModel):
    """Answers customers of a shop. Calls only tools that were bound; states only what they said.
    Whoever asks it something else without tools is told that it is a demo."""

    tools: list[dict[str, Any]] = Field(default_factory=list)
    must_call: bool = False
    """A tool has to be called, whatever was said: somebody wants a structured answer."""

    @property
    def _llm_type(self) -> str:
        return MODEL_NAME

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        **_: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self.model_copy(
            update={
                "tools": [convert_to_openai_tool(tool) for tool in tools],
                "must_call": tool_choice not in (None, False, "auto", "none"),
            }
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages))])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> ChatResult:
        return self._generate(messages)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        whole = self._answer(messages)
        for piece in whole.text.splitlines(keepends=True):
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece, id=whole.id))
            await asyncio.sleep(0)
        last = AIMessageChunk(
            content="",
            id=whole.id,
            tool_calls=whole.tool_calls,
            usage_metadata=whole.usage_metadata,
            response_metadata=whole.response_metadata,
            chunk_position="last",
        )
        yield ChatGenerationChunk(message=last)

    def _answer(self, messages: list[BaseMessage]) -> AIMessage:
        calls, text = self._decide(messages)
        turn = sha256("\x00".join(str(message.content) for message in messages).encode())
        stamp = turn.hexdigest()[:12]
        return AIMessage(
            content=text,
            id=f"offline-{stamp}",
            tool_calls=[
                ToolCall(name=call.name, args=dict(call.args), id=f"call_{stamp}_{position}")
                for position, call in enumerate(calls, start=1)
            ],
            response_metadata={
                "model_name": MODEL_NAME,
                "finish_reason": "tool_calls" if calls else "stop",
            },
            usage_metadata=_usage(messages, text, calls),
        )

    def _decide(self, messages: list[BaseMessage]) -> tuple[list[Call], str]:
        names = {tool["function"]["name"]: tool["function"] for tool in self.tools}
        dialogue = read_dialogue(messages, OFFER_MARKS)
        if not names and is_job(messages, dialogue):
            return [], answer_job(dialogue.language)
        calls = next_calls(dialogue, names)
        if not calls and self.must_call and names:
            name, function = next(iter(names.items()))
            calls = [Call(name, fill(function.get("parameters", {}), " ".join(dialogue.texts)))]
        return calls, "" if calls else write_answer(dialogue)


def _usage(messages: Sequence[BaseMessage], text: str, calls: Sequence[Call]) -> UsageMetadata:
    read = sum(len(str(message.content)) for message in messages)
    written = len(text) + sum(len(call.name) + len(str(call.args)) for call in calls)
    counted = (read // _CHARACTERS_PER_TOKEN + 1, written // _CHARACTERS_PER_TOKEN + 1)
    return UsageMetadata(
        input_tokens=counted[0], output_tokens=counted[1], total_tokens=sum(counted)
    )
