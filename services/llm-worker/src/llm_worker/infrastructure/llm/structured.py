"""Answers in a given form: asked for as the model does it best, read, and mended once."""

import json
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, ValidationError

from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.domain.value_objects.structured_output import StructuredOutput
from llm_worker.infrastructure.llm.answers import Answer, embedded_objects
from llm_worker.infrastructure.llm.response_validator import InvalidResponse

F = TypeVar("F", bound=BaseModel)


class Form(Generic[F]):
    """What a model has to fill in; ``tools`` is the same form as a tool."""

    def __init__(self, model: type[F]) -> None:
        tool = convert_to_openai_tool(model)
        self.tools: Sequence[dict[str, Any]] = [tool]
        self._model = model
        self._name = tool["function"]["name"]
        self._in_words = _in_words(tool["function"]["parameters"])

    def read(self, answer: Answer) -> F:
        """The filled form, wherever the model put it.

        Raises:
            ValueError: it is not there, or not filled in as it should be.
        """
        for call in answer.tool_calls:
            if call.name == self._name and call.problem is None:
                return self._model.model_validate(call.args)
        objects = embedded_objects(answer.text)
        if not objects:
            raise ValueError("there is no JSON object in the answer")
        return self._model.model_validate(objects[-1])

    def question(self, system: str, text: str, *, in_words: bool) -> list[BaseMessage]:
        """The messages that ask for it; ``in_words`` for models that are not given the tool."""
        asked = f"{text}\n\n{self._in_words}" if in_words else text
        return [SystemMessage(system), HumanMessage(asked)]

    def mending(self, answer: Answer | None, error: Exception) -> list[BaseMessage]:
        """The messages that go on after an answer which could not be read."""
        said = answer.text if answer is not None and answer.text else "(no answer)"
        told = f"That could not be read: {_told(error)}. {self._in_words}"
        return [AIMessage(said), HumanMessage(told)]


def is_given_as_tool(config: LLMConfig) -> bool:
    """Whether this model is given a form as a tool; otherwise it is told in words."""
    match config.structured_output:
        case StructuredOutput.TOOL | StructuredOutput.JSON_SCHEMA:
            return True  # providers hold a tool's arguments to its schema
        case StructuredOutput.JSON_TEXT:
            return False
        case _:  # compatible servers differ most where tools are concerned
            return not config.provider.is_openai_compatible


def _in_words(schema: dict[str, Any]) -> str:
    return (
        "Reply with one JSON object and nothing else. It must fit this JSON schema: "
        f"{json.dumps(schema, ensure_ascii=False)}"
    )


def _told(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}"
            for each in error.errors(include_url=False, include_input=False)[:5]
        )
    if isinstance(error, InvalidResponse):
        return error.detail
    return str(error)
