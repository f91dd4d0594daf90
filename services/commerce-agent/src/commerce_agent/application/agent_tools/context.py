"""What a tool knows besides the model's arguments, and what it gives back."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from commerce_agent.application.agent_tools.handle_book import HandleBook
from commerce_agent.application.ports.shop_agent import EffectKey, Handle
from commerce_agent.domain.value_objects.conversation_state import ConversationState
from commerce_agent.domain.value_objects.facts import Fact
from commerce_agent.domain.value_objects.ids import CustomerId
from shared.kernel.ids import ConversationId, TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentContext:
    """Who asks and in which conversation. Set by the runner's loop, invisible to the model."""

    tenant_id: TenantId
    customer_id: CustomerId
    conversation_id: ConversationId
    state: ConversationState
    language: str
    currency: str
    handles: HandleBook
    effect: Callable[[], EffectKey]
    """The key under which a tool that changes something commits, made when it is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutcome:
    """What a tool answers, and what a draft may say because of it."""

    result: str
    """JSON, as `as_result` writes it."""
    facts: tuple[Fact, ...] = ()
    handles: tuple[Handle, ...] = ()
    state: ConversationState | None = None
    committed: bool = False
    """The journal step was written with the effect, by the service that caused it."""


ToolExecutor: TypeAlias = Callable[..., Awaitable[ToolOutcome]]
"""Called with an `AgentContext` and the model's checked arguments as keywords."""


def as_result(data: Mapping[str, Any]) -> str:
    """One JSON object without ``<``, so that no catalogue text can end or open a section of a
    prompt."""
    return orjson.dumps(data).decode().replace("<", "\\u003c")


def error_result(code: str, message: str) -> str:
    return as_result({"error": {"code": code, "message": message}})
