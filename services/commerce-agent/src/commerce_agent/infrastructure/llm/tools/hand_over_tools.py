"""The tool that ends the agent's part. Its docstring is prompt text."""

from collections.abc import Mapping
from typing import Annotated

from langchain_core.tools import BaseTool, tool
from pydantic import Field

from commerce_agent.application.agent_tools.context import AgentContext, ToolExecutor, ToolOutcome
from commerce_agent.infrastructure.llm.tools.arguments import ToolArguments

HAND_OVER = "hand_over_to_human"


class HandOverToHuman(ToolArguments):
    reason: Annotated[
        str, Field(min_length=1, max_length=200, description="Why a person should answer, in short")
    ]
    summary: Annotated[
        str,
        Field(min_length=1, max_length=1000, description="What the colleague must know to go on"),
    ]


def hand_over_tools(executors: Mapping[str, ToolExecutor]) -> list[BaseTool]:
    """The hand-over, bound to what carries it out."""

    @tool(args_schema=HandOverToHuman)
    async def hand_over_to_human(context: AgentContext, reason: str, summary: str) -> ToolOutcome:
        """Give this conversation to a colleague of the shop, who answers from then on. Use it when
        the customer asks for a person, complains, is upset, or needs what no tool can do."""
        return await executors[HAND_OVER](context, reason=reason, summary=summary)

    return [hand_over_to_human]
