"""What the agents of one job hand on to each other."""

from typing import Annotated, Any, Literal, TypedDict

from langchain_core.messages import BaseMessage
from langgraph.graph.message import add_messages


class AgentState(TypedDict):
    """The graph's state; it holds data alone, so that a graph serves any number of jobs."""

    messages: Annotated[list[BaseMessage], add_messages]
    """The history that the job brought, and its prompt as the last one."""
    agent_type: Literal["main", "fallback", "followup", "moderation"]
    """Whose turn it is; at the end, who really answered."""
    context: dict[str, Any]
    needs_moderation: bool
    moderation_result: dict[str, Any] | None
    """``verdict`` (allowed, violation, unreadable), ``categories`` and ``reason``."""
    retry_count: int
    final_response: str | None
    error: str | None
    """The code of what was wrong with the main agent's answer."""
