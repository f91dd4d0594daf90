"""A chat model whose answers a test writes down beforehand; the rest of the platform takes it for
any other. For provider ``scripted``: ``LLMFactory(…, scripted=lambda config: model)``."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

Answer: TypeAlias = (
    str | AIMessage | Exception | asyncio.Event | Callable[[Sequence[BaseMessage]], "Answer"]
)
"""Text, a whole message, an error to raise, an event to wait for before the next answer is given,
or a function of the messages that returns one of these."""


class ScriptExhausted(BaseException):
    """The model was asked more often than the test wrote answers for. No `Exception`: it must
    reach the test and not be taken for a provider's bad day."""


class ScriptedModel(BaseChatModel):
    """Gives the answers in their order; afterwards ``otherwise``, again and again.

    Without ``otherwise`` one more call fails the test. ``calls`` holds the messages of every call,
    ``offered`` the names of the tools it was offered.
    """

    _answers: deque[Answer] = PrivateAttr()
    _otherwise: Answer | None = PrivateAttr()
    _calls: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _offered: list[list[str]] = PrivateAttr(default_factory=list)
    _fatal: BaseException | None = PrivateAttr(default=None)

    def __init__(self, *answers: Answer, otherwise: Answer | None = None) -> None:
        super().__init__()
        self._answers = deque(answers)
        self._otherwise = otherwise

    @property
    def calls(self) -> list[list[BaseMessage]]:
        return self._calls

    @property
    def offered(self) -> list[list[str]]:
        return self._offered

    @property
    def left(self) -> int:
        """Answers nobody has asked for yet."""
        return len(self._answers)

    def script(self, *answers: Answer) -> None:
        """Add answers for the next calls."""
        self._answers.extend(answers)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(
        self,
        tools: Sequence[Mapping[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Any:
        names = [convert_to_openai_tool(tool)["function"]["name"] for tool in tools]
        return self.bind(offered=names, **kwargs)

    async def ainvoke(self, *args: Any, **kwargs: Any) -> AIMessage:
        try:
            return await super().ainvoke(*args, **kwargs)
        except AttributeError:
            # LangChain collects results together with exceptions and knows none but `Exception`
            if self._fatal is not None:
                raise self._fatal from None
            raise

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._result(self._plain(self._next(messages, kwargs), messages))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            answer = self._next(messages, kwargs)
            while isinstance(answer, asyncio.Event):
                await answer.wait()
                answer = self._following()
            return self._result(self._plain(answer, messages))
        except BaseException as error:
            self._fatal = None if isinstance(error, Exception) else error
            raise

    def _next(self, messages: list[BaseMessage], options: Mapping[str, Any]) -> Answer:
        self._calls.append(list(messages))
        self._offered.append(list(options.get("offered", ())))
        return self._following()

    def _following(self) -> Answer:
        if self._answers:
            return self._answers.popleft()
        if self._otherwise is None:
            raise ScriptExhausted(f"call {len(self._calls)} was not scripted")
        return self._otherwise

    def _plain(self, answer: Answer, messages: Sequence[BaseMessage]) -> AIMessage:
        while callable(answer):
            answer = answer(messages)
        if isinstance(answer, Exception):
            raise answer
        assert not isinstance(answer, asyncio.Event)
        return says(answer) if isinstance(answer, str) else answer.model_copy()

    def _result(self, message: AIMessage) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=message)])


def says(text: str, *, tokens: tuple[int, int] = (20, 10)) -> AIMessage:
    """An answer in plain text; ``tokens`` of the prompt and of the answer."""
    return AIMessage(text, usage_metadata=_usage(tokens))


def asks(
    *calls: tuple[str, Mapping[str, Any]], text: str = "", tokens: tuple[int, int] = (20, 10)
) -> AIMessage:
    """An answer that calls tools: ``asks(("search_products", {"query": "kopi"}))``."""
    return AIMessage(
        text,
        tool_calls=[
            {"id": f"call_{number}", "name": name, "args": dict(args), "type": "tool_call"}
            for number, (name, args) in enumerate(calls, start=1)
        ],
        usage_metadata=_usage(tokens),
    )


def _usage(tokens: tuple[int, int]) -> Any:
    prompt, answer = tokens
    return {"input_tokens": prompt, "output_tokens": answer, "total_tokens": prompt + answer}
