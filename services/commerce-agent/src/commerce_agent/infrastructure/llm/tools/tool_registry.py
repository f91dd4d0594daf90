"""Which tools the agent is offered: one table, conversation state → tool names."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from commerce_agent.application.agent_tools.context import ToolExecutor
from commerce_agent.domain.value_objects.conversation_state import ConversationState
from commerce_agent.infrastructure.llm.tools.catalogue_tools import catalogue_tools
from commerce_agent.infrastructure.llm.tools.customer_tools import customer_tools
from commerce_agent.infrastructure.llm.tools.hand_over_tools import hand_over_tools

_CATALOGUE = ("search_products", "get_product_details", "check_stock")
_CUSTOMER = ("get_customer_profile", "update_customer_profile")
_PEOPLE = ("hand_over_to_human",)

TOOLS_BY_STATE: Mapping[ConversationState, tuple[str, ...]] = MappingProxyType(
    {
        ConversationState.GREETING: (*_CATALOGUE, *_CUSTOMER, *_PEOPLE),
        ConversationState.BROWSING: (*_CATALOGUE, *_CUSTOMER, *_PEOPLE),
        ConversationState.ORDERING: (*_CATALOGUE, *_CUSTOMER, *_PEOPLE),
        ConversationState.CHECKOUT: (*_CATALOGUE, *_CUSTOMER, *_PEOPLE),
        ConversationState.PAYMENT: (*_CATALOGUE, *_CUSTOMER, *_PEOPLE),
        ConversationState.COMPLETED: (*_CATALOGUE, *_CUSTOMER, *_PEOPLE),
        ConversationState.SUPPORT: ("search_products", *_CUSTOMER, *_PEOPLE),
    }
)


def get_tools_for_conversation_state(
    state: ConversationState, tools: Mapping[str, BaseTool]
) -> list[BaseTool]:
    """Of all ``tools``, by name, those that are offered in ``state``."""
    return [tools[name] for name in TOOLS_BY_STATE[state]]


class ToolRegistry:
    """The shop's tools, made once per process, with the schemas that models are shown."""

    def __init__(self, executors: Mapping[str, ToolExecutor]) -> None:
        made = (
            *catalogue_tools(executors),
            *customer_tools(executors),
            *hand_over_tools(executors),
        )
        self._tools = {tool.name: tool for tool in made}
        self._schemas = {
            state: [_schema(tool) for tool in get_tools_for_conversation_state(state, self._tools)]
            for state in ConversationState
        }

    def find(self, name: str, state: ConversationState) -> BaseTool | None:
        """The tool of that name, if it is offered in that state."""
        return self._tools[name] if name in TOOLS_BY_STATE[state] else None

    def schemas(self, state: ConversationState) -> list[dict[str, Any]]:
        """What a model is shown in that state."""
        return self._schemas[state]

    def names(self, state: ConversationState) -> tuple[str, ...]:
        return TOOLS_BY_STATE[state]


def _schema(tool: BaseTool) -> dict[str, Any]:
    schema = convert_to_openai_tool(tool)
    parameters = schema["function"]["parameters"]
    # LangChain leaves out what the arguments' own model says
    parameters["additionalProperties"] = False
    return schema
