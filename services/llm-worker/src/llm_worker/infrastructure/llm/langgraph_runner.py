"""Runs the pipelines of jobs: one question to one agent, or the graph of all of them."""

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from llm_worker.application.dto.processing_dto import RunRecord
from llm_worker.application.services.processing_service import Agent, TextStream
from llm_worker.domain.entities.agent_config import AgentType
from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.infrastructure.llm.agent_nodes import (
    Monotonic,
    PipelineRun,
    fallback_agent_node,
    followup_agent_node,
    main_agent_node,
    moderation_node,
    opening,
    router_node,
)
from llm_worker.infrastructure.llm.agent_state import AgentState
from llm_worker.infrastructure.llm.model_call import ModelCaller

_PATIENCE = timedelta(minutes=10)
"""Longest run where nobody names a deadline."""

AfterRouter = Literal["main_agent", "followup_agent", "fallback_agent"]


class LangGraphRunner:
    """One per process; the graph is compiled once and keeps nothing between runs."""

    def __init__(self, caller: ModelCaller, *, monotonic: Monotonic = time.monotonic) -> None:
        self._caller = caller
        self._monotonic = monotonic
        self._graph = self._build_multi_agent_workflow()

    async def run(
        self,
        config: LLMConfig,
        system_prompt: str,
        user_prompt: str,
        *,
        fallbacks: Sequence[LLMConfig] = (),
        deadline: timedelta = _PATIENCE,
        record: RunRecord | None = None,
        stream: TextStream | None = None,
    ) -> tuple[str, int]:
        """One answer, and how many tokens it took altogether.

        ``fallbacks`` are asked when ``config`` is unavailable. What was called is added to
        ``record``, also when this raises. A single question needs no graph, and gets none.

        Raises:
            InvalidResponse: the answer is none; also `AnswerTruncated` and `AnswerRefused`.
            ModelUnavailable: no model of the chain answers for the moment.
            DomainError: what else ``config`` failed with.
        """
        record = RunRecord() if record is None else record
        agent = Agent(system_prompt=system_prompt, models=(config, *fallbacks))
        run = self._run({AgentType.MAIN: agent}, deadline, record, stream)
        text = await run.answer(AgentType.MAIN, [HumanMessage(user_prompt)])
        return text, record.tokens

    async def run_multi_agent(
        self,
        config: LLMConfig,
        agent_configs: Mapping[AgentType, Agent],
        user_prompt: str,
        context: Mapping[str, Any] | None = None,
        needs_moderation: bool = True,
        *,
        retry_count: int = 0,
        deadline: timedelta = _PATIENCE,
        record: RunRecord | None = None,
        stream: TextStream | None = None,
    ) -> tuple[str, int, AgentType]:
        """The answer, how many tokens it took altogether, and which agent really gave it.

        ``config`` answers for agents that ``agent_configs`` does not have; the verdict is kept in
        ``record``.

        Raises: as `run`; an invalid answer of the main agent goes to the fallback instead.
        """
        record = RunRecord() if record is None else record
        agents = {kind: Agent(system_prompt="", models=(config,)) for kind in AgentType}
        run = self._run({**agents, **agent_configs}, deadline, record, stream)
        state = opening(
            user_prompt, context or {}, needs_moderation=needs_moderation, retry_count=retry_count
        )
        ended = await self._graph.ainvoke(state, context=run)
        return ended["final_response"], record.tokens, AgentType(ended["agent_type"])

    def _run(
        self,
        agents: Mapping[AgentType, Agent],
        deadline: timedelta,
        record: RunRecord,
        stream: TextStream | None,
    ) -> PipelineRun:
        return PipelineRun(
            caller=self._caller,
            agents=agents,
            end=self._monotonic() + deadline.total_seconds(),
            record=record,
            stream=stream,
            monotonic=self._monotonic,
        )

    def _build_multi_agent_workflow(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        graph = StateGraph(AgentState, context_schema=PipelineRun)
        graph.add_node("moderation", moderation_node)
        graph.add_node("router", router_node)
        graph.add_node("main_agent", main_agent_node)
        graph.add_node("followup_agent", followup_agent_node)
        graph.add_node("fallback_agent", fallback_agent_node)
        graph.add_edge(START, "moderation")
        graph.add_edge("moderation", "router")
        graph.add_conditional_edges("router", self._route_after_router)
        graph.add_conditional_edges("main_agent", self._route_after_main)
        graph.add_edge("followup_agent", END)
        graph.add_edge("fallback_agent", END)
        return graph.compile()

    @staticmethod
    def _route_after_router(state: AgentState) -> AfterRouter:
        routes: dict[str, AfterRouter] = {
            "followup": "followup_agent",
            "fallback": "fallback_agent",
        }
        return routes.get(state["agent_type"], "main_agent")

    @staticmethod
    def _route_after_main(state: AgentState) -> Literal["fallback_agent", "__end__"]:
        return "fallback_agent" if state["error"] is not None else "__end__"
