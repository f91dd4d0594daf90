"""ChatAnthropic on a client of ours.

Loading this module loads the Anthropic SDK; only `LLMFactory` imports it, when a model needs it.
"""

import anthropic
import httpx2
from langchain_anthropic import ChatAnthropic
from pydantic import SecretStr


def build_client(*, base_url: str, api_key: str, http: httpx2.AsyncClient) -> anthropic.AsyncClient:
    """A client that sends what it is given; an explicit key keeps the environment's out."""
    return _without_environment(
        anthropic.AsyncClient(
            base_url=base_url, api_key=api_key, http_client=http, max_retries=0, timeout=None
        )
    )


def build_model(
    client: anthropic.AsyncClient,
    *,
    model: str,
    temperature: float,
    max_tokens: int,
    timeout_seconds: float,
) -> ChatAnthropic:
    """A chat model on a shared client. Anthropic's scale ends at 1, so warmer is cut there."""
    chat = ChatAnthropic(
        model=model,
        temperature=min(temperature, 1.0),
        max_tokens_to_sample=max_tokens,
        base_url=str(client.base_url),
        api_key=SecretStr("held by the client"),
        max_retries=0,
        timeout=timeout_seconds,
        stop=None,
        stream_usage=True,
    )
    # ChatAnthropic takes no client; its own is a cached property, so this one stands in its place
    bound = _without_environment(client.with_options(timeout=timeout_seconds))
    chat.__dict__["_async_client"] = bound
    return chat


def _without_environment(client: anthropic.AsyncClient) -> anthropic.AsyncClient:
    """Every new client, a copy too, adds the headers of ANTHROPIC_CUSTOM_HEADERS, which are the
    operator's and not for a tenant's server."""
    client._custom_headers = {}
    return client
