"""The usual LangGraph agent: a model node and a tool node with edges, compiled once."""

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition


class LangGraphAgent:
    """Answers a conversation. ``found`` is what its one tool says."""

    def __init__(self, model: BaseChatModel, *, system: str, found: str) -> None:
        @tool
        async def search_products(query: str, category: str | None = None) -> str:
            """Find products with their current prices and stock."""
            return found

        bound = model.bind_tools([search_products])

        async def agent(state: MessagesState) -> dict[str, list[BaseMessage]]:
            answer = await bound.ainvoke([SystemMessage(system), *state["messages"]])
            return {"messages": [answer]}

        graph = StateGraph(MessagesState)
        graph.add_node("agent", agent)
        graph.add_node("tools", ToolNode([search_products]))
        graph.add_edge(START, "agent")
        graph.add_conditional_edges("agent", tools_condition)
        graph.add_edge("tools", "agent")
        self._graph: Any = graph.compile()

    async def answer(self, history: list[BaseMessage], text: str) -> str:
        state = await self._graph.ainvoke({"messages": [*history, HumanMessage(text)]})
        return str(state["messages"][-1].content)
