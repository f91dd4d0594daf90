"""Journal steps as JSON and back, without loss."""

from datetime import datetime
from typing import Any
from uuid import UUID

from commerce_agent.application.ports.shop_agent import (
    Checked,
    Discarded,
    Fact,
    FactKind,
    Handle,
    Heard,
    JournalStep,
    Spoken,
    ToolDone,
    ToolRequest,
)
from commerce_agent.domain.value_objects.conversation_state import ConversationState
from commerce_agent.domain.value_objects.ids import MessageId, ProductId, VariantId

_KINDS: dict[type[JournalStep], str] = {
    Heard: "read",
    Spoken: "model",
    ToolDone: "tool",
    Checked: "check",
    Discarded: "discard",
}


def kind_of(step: JournalStep) -> str:
    """The value of ``turn_steps.kind``."""
    return _KINDS[type(step)]


def to_json(step: JournalStep) -> dict[str, Any]:
    """Everything the step holds, as plain values."""
    if isinstance(step, Heard):
        return {
            "message_id": str(step.message_id),
            "text": step.text,
            "at": step.at.isoformat(),
            "content_type": step.content_type,
            "reply_to": step.reply_to,
        }
    if isinstance(step, Spoken):
        return {
            "text": step.text,
            "tool_calls": [_request(call) for call in step.tool_calls],
            "model": step.model,
            "tokens_in": step.tokens_in,
            "tokens_out": step.tokens_out,
            "milliseconds": step.milliseconds,
        }
    if isinstance(step, ToolDone):
        return {
            "request": _request(step.request),
            "result": step.result,
            "facts": [[fact.kind.value, fact.value] for fact in step.facts],
            "handles": [handle_to_json(handle) for handle in step.handles],
            "state": step.state.value if step.state else None,
        }
    if isinstance(step, Checked):
        return {"problems": list(step.problems)}
    return {"draft": step.draft}


def from_json(kind: str, body: dict[str, Any]) -> JournalStep:
    """The step that `to_json` wrote.

    Raises:
        ValueError: no step is of this kind.
    """
    if kind == "read":
        return Heard(
            message_id=MessageId(UUID(body["message_id"])),
            text=body["text"],
            at=datetime.fromisoformat(body["at"]),
            content_type=body["content_type"],
            reply_to=body["reply_to"],
        )
    if kind == "model":
        calls = tuple(ToolRequest(**call) for call in body["tool_calls"])
        return Spoken(**{**body, "tool_calls": calls})
    if kind == "tool":
        return ToolDone(
            request=ToolRequest(**body["request"]),
            result=body["result"],
            facts=tuple(Fact(FactKind(fact), value) for fact, value in body["facts"]),
            handles=tuple(handle_from_json(handle) for handle in body["handles"]),
            state=ConversationState(body["state"]) if body["state"] else None,
        )
    if kind == "check":
        return Checked(problems=tuple(body["problems"]))
    if kind == "discard":
        return Discarded(draft=body["draft"])
    raise ValueError(f"no journal step is of kind {kind!r}")


def handle_to_json(handle: Handle) -> dict[str, Any]:
    return {
        "code": handle.code,
        "product_id": str(handle.product_id),
        "variant_id": str(handle.variant_id) if handle.variant_id else None,
    }


def handle_from_json(body: dict[str, Any]) -> Handle:
    variant = body["variant_id"]
    return Handle(
        code=body["code"],
        product_id=ProductId(UUID(body["product_id"])),
        variant_id=VariantId(UUID(variant)) if variant else None,
    )


def _request(request: ToolRequest) -> dict[str, Any]:
    return {
        "id": request.id,
        "name": request.name,
        "args": dict(request.args),
        "problem": request.problem,
    }
