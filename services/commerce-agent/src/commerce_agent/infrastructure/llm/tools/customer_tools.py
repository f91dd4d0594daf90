"""Tools about the customer who writes. Their docstrings are prompt text."""

from collections.abc import Mapping
from typing import Annotated, Literal

from langchain_core.tools import BaseTool, tool
from pydantic import Field

from commerce_agent.application.agent_tools.context import AgentContext, ToolExecutor, ToolOutcome
from commerce_agent.infrastructure.llm.tools.arguments import ToolArguments


class NoArguments(ToolArguments):
    pass


class UpdateCustomerProfile(ToolArguments):
    name: Annotated[
        str | None, Field(max_length=200, description="What they want to be called")
    ] = None
    language: Annotated[
        Literal["id", "en"] | None, Field(description="The language they want to be answered in")
    ] = None
    address: Annotated[
        str | None, Field(max_length=500, description="Where orders go, as they wrote it")
    ] = None
    note: Annotated[
        str | None,
        Field(max_length=500, description="A lasting wish of theirs, such as an allergy"),
    ] = None


def customer_tools(executors: Mapping[str, ToolExecutor]) -> list[BaseTool]:
    """The customer's tools, each bound to what carries it out."""

    @tool(args_schema=NoArguments)
    async def get_customer_profile(context: AgentContext) -> ToolOutcome:
        """Read what the shop knows of this customer: name, language, address, note. Use it when the
        customer asks what you know of them, or before you ask for something they told before."""
        return await executors["get_customer_profile"](context)

    @tool(args_schema=UpdateCustomerProfile)
    async def update_customer_profile(
        context: AgentContext,
        name: str | None = None,
        language: str | None = None,
        address: str | None = None,
        note: str | None = None,
    ) -> ToolOutcome:
        """Keep something the customer has just said of themselves: name, language, address or a
        lasting wish. Give only what they said; leave the rest out."""
        return await executors["update_customer_profile"](
            context, name=name, language=language, address=address, note=note
        )

    return [get_customer_profile, update_customer_profile]
