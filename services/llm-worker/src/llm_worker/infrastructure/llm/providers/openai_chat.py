"""ChatOpenAI for OpenAI and for every server that speaks its chat completions.

Loading this module loads the OpenAI SDK; only `LLMFactory` imports it, when a model needs it.
"""

from typing import Any

import httpx2
import openai
from langchain_core.messages import BaseMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from llm_worker.infrastructure.llm.answers import mend_arguments
from llm_worker.infrastructure.llm.errors import ModelUnavailable, error_in_answer


class CompatibleChatOpenAI(ChatOpenAI):
    """Reads the answers that real servers send, where LangChain expects OpenAI's own."""

    def _create_chat_result(
        self,
        response: dict[str, Any] | openai.BaseModel,
        generation_info: dict[str, Any] | None = None,
    ) -> ChatResult:
        if isinstance(response, openai.BaseModel):
            _mend(response)
        return super()._create_chat_result(response, generation_info)

    def _convert_chunk_to_generation_chunk(
        self,
        chunk: dict[str, Any],
        default_chunk_class: type[BaseMessageChunk],
        base_generation_info: dict[str, Any] | None,
    ) -> ChatGenerationChunk | None:
        if chunk.get("error"):
            raise error_in_answer(chunk["error"])
        for choice in chunk.get("choices") or ():
            for call in (choice.get("delta") or {}).get("tool_calls") or ():
                function = call.get("function") or {}
                if not isinstance(function.get("arguments"), str | None):
                    function["arguments"] = mend_arguments(function["arguments"])
        return super()._convert_chunk_to_generation_chunk(
            chunk, default_chunk_class, base_generation_info
        )


class AsyncOnly:
    """Stands where a synchronous client would be: there is none, so nothing blocks the loop."""


def build_client(*, base_url: str, api_key: str, http: httpx2.AsyncClient) -> openai.AsyncOpenAI:
    """A client that sends what it is given and reads nothing from the environment."""
    return _without_environment(
        openai.AsyncOpenAI(
            base_url=base_url, api_key=api_key, http_client=http, max_retries=0, timeout=None
        )
    )


def build_model(
    client: openai.AsyncOpenAI,
    *,
    model: str,
    temperature: float,
    max_tokens: int,
    timeout_seconds: float,
    own_api: bool,
) -> ChatOpenAI:
    """A chat model on a shared client. ``own_api`` says that OpenAI itself answers."""
    bound = _without_environment(client.with_options(timeout=timeout_seconds))
    limit: dict[str, Any] = (
        # most compatible servers know only the older name
        {"max_completion_tokens": max_tokens}
        if own_api
        else {"extra_body": {"max_tokens": max_tokens}}
    )
    return CompatibleChatOpenAI(
        model=model,
        temperature=temperature,
        base_url=str(client.base_url),
        api_key=SecretStr("held by the client"),
        client=AsyncOnly(),
        root_client=AsyncOnly(),
        async_client=bound.chat.completions,
        root_async_client=bound,
        max_retries=0,
        timeout=timeout_seconds,
        stream_chunk_timeout=timeout_seconds,
        stream_usage=True,
        use_responses_api=False,
        **limit,
    )


def _without_environment(client: openai.AsyncOpenAI) -> openai.AsyncOpenAI:
    """Every new client, a copy too, takes these from OPENAI_ORG_ID, OPENAI_PROJECT_ID and
    OPENAI_CUSTOM_HEADERS. They belong to the operator's account and not to a tenant's server."""
    client.organization = None
    client.project = None
    client._custom_headers = {}
    return client


def _mend(response: openai.BaseModel) -> None:
    error = getattr(response, "error", None)
    if error:
        raise error_in_answer(error)
    choices = getattr(response, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise ModelUnavailable("The model's provider answered without choices")
    for choice in choices:
        message = getattr(choice, "message", None)
        if message is None:
            raise ModelUnavailable("The model's provider answered without a message")
        if getattr(message, "role", None) is None:
            message.role = "assistant"
        for call in getattr(message, "tool_calls", None) or ():
            function = getattr(call, "function", None)
            if function is not None:
                function.arguments = mend_arguments(getattr(function, "arguments", None))
