"""Tools that look into the catalogue. Their docstrings are prompt text."""

from collections.abc import Mapping
from typing import Annotated

from langchain_core.tools import BaseTool, tool
from pydantic import Field

from commerce_agent.application.agent_tools.context import AgentContext, ToolExecutor, ToolOutcome
from commerce_agent.infrastructure.llm.tools.arguments import Handle, ToolArguments


class SearchProducts(ToolArguments):
    query: Annotated[
        str,
        Field(
            max_length=200,
            description="What the customer looks for, in their words; empty to see what there is",
        ),
    ]
    category: Annotated[
        str | None, Field(max_length=100, description="A category of the shop, if one was named")
    ] = None


class OneProduct(ToolArguments):
    product: Handle


def catalogue_tools(executors: Mapping[str, ToolExecutor]) -> list[BaseTool]:
    """The catalogue's tools, each bound to what carries it out."""

    @tool(args_schema=SearchProducts)
    async def search_products(
        context: AgentContext, query: str, category: str | None = None
    ) -> ToolOutcome:
        """Find products with their current prices and stock. Use it before you say anything about
        what the shop sells, costs or has, also when you have said it before."""
        return await executors["search_products"](context, query=query, category=category)

    @tool(args_schema=OneProduct)
    async def get_product_details(context: AgentContext, product: str) -> ToolOutcome:
        """Read the full description and all variants of a product that was shown before. Use it
        when the customer wants to know more about one product."""
        return await executors["get_product_details"](context, product=product)

    @tool(args_schema=OneProduct)
    async def check_stock(context: AgentContext, product: str) -> ToolOutcome:
        """Look up how many of a product or variant there are right now. Use it when the customer
        asks whether something is available or wants several."""
        return await executors["check_stock"](context, product=product)

    return [search_products, get_product_details, check_stock]
