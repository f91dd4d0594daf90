"""Turn overhead: what a turn costs besides its model, which answers at once and calls one tool.

A turn here is everything from the claim of its ``conversation.turn`` row to the commit of its
reply: the claim itself, the lease, reading, three journal steps (an answer with a tool call, the
tool's result, the draft), the search in the catalogue, the check, and the commit. The store of the
message before it and the sending after it are not part of it. Turns run one after the other, so
nothing is shared between two.
"""

import asyncio
import gc
import time
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from datetime import timedelta
from statistics import median
from typing import Any

import structlog
from langchain_core.messages import BaseMessage
from pydantic import SecretStr

from bench.machine import cpu_seconds
from bench.peers.chat_model import ANSWER, TOOL, FakeChatModel
from bench.peers.langgraph_agent import LangGraphAgent
from bench.report import Row, ratios, row
from bench.runner import Options
from bench.shop import Shop, Worker, a_shop, fill_catalogue, open_conversations, open_worker
from bench.stages import REST, Stages
from commerce_agent.application.agent_tools.context import AgentContext, ToolOutcome
from commerce_agent.application.ports.shop_agent import CustomerCard, Heard, ShopCard
from commerce_agent.application.ports.shop_agent import Turn as AgentTurn
from commerce_agent.application.services.chatbot_orchestrator import ChatbotOrchestrator
from commerce_agent.application.services.turn_journal import TurnJournal
from commerce_agent.application.services.turn_reader import TurnReader
from commerce_agent.application.services.turn_run import TurnRun
from commerce_agent.domain.value_objects.conversation_state import ConversationState
from commerce_agent.domain.value_objects.ids import CustomerId, MessageId, TurnId
from commerce_agent.infrastructure.llm import crm_langgraph_runner
from commerce_agent.infrastructure.llm.conversation_messages import build_messages
from commerce_agent.infrastructure.llm.crm_langgraph_runner import CRMLangGraphRunner
from commerce_agent.infrastructure.llm.tool_calls import ToolCalls
from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.domain.value_objects.model_name import ModelName
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.infrastructure.llm.circuit_breaker import CircuitBreakerRegistry
from llm_worker.infrastructure.llm.llm_factory import LLMFactory
from llm_worker.infrastructure.llm.model_call import ModelCaller, _Run
from shared.config.settings import (
    CacheSettings,
    LlmSettings,
    PlatformSettings,
    SecuritySettings,
)
from shared.kernel.clock import utc_now
from shared.kernel.ids import ChannelId, ConversationId, TenantId, new_id
from shared.messaging.port import Queue
from shared.messaging.rows import QueueRows
from shared.observability.process import loop_factory
from tests.support import rows
from tests.support.memory_journal import MemoryJournal
from tests.support.postgres import PostgresForTests, TestDatabase
from tests.support.redis import RedisForTests
from tests.support.statements import Statements

TURNS = 300
"""Of each round, after a warm-up."""
GRAPH_RUNS = 300
STAGES = (
    (QueueRows, "claim_due", "claim"),
    (TurnReader, "take", "load"),
    (ChatbotOrchestrator, "_chain", "load"),
    (crm_langgraph_runner, "build_messages", "prompt"),
    (CRMLangGraphRunner, "run", "graph"),
    (ModelCaller, "call_recorded", "model"),
    (ToolCalls, "_run", "tools"),
    (TurnJournal, "_write", "journal"),
    (crm_langgraph_runner, "check_draft", "check"),
    (TurnRun, "_commit", "commit"),
)
BESIDE_THE_GRAPH = (
    (crm_langgraph_runner, "build_messages", "prompt"),
    (ModelCaller, "call_recorded", "resilience"),
    (_Run, "_send", REST),
    (crm_langgraph_runner, "check_draft", "check"),
    (crm_langgraph_runner, "to_whatsapp", "check"),
)
"""What of our agent the usual one has nothing of. The model is asked within the graph, as there."""
ORDER = ("claim", "load", "prompt", "graph", "model", "tools", "journal", "check", "commit", "rest")
ASKED = "Halo kak, ada kopi susu?"


class Turn:
    name = "turn"
    title = "Turn overhead: a model that answers at once, one tool call, real PostgreSQL (fsync on)"

    async def run(self, options: Options) -> list[Row]:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
        return await asyncio.to_thread(_in_a_loop_of_workers, self._measure(options))

    async def _measure(self, options: Options) -> list[Row]:
        with ExitStack() as entered:
            redis = entered.enter_context(RedisForTests(private=True))
            async with PostgresForTests(private=True) as server:
                assert server.server is not None
                assert server.server.process is not None
                db = await server.database()
                settings = settings_for(db, redis)
                async with open_worker(settings, FakeChatModel()) as worker:
                    shop = await a_shop(db)
                    await fill_catalogue(worker, shop)
                    bench = _Bench(db, worker, shop, server.server.process.pid)
                    measured = await bench.measure(options)
        measured += await _against_langgraph(options)
        options.notes[self.name] = (
            "Counted: from the claim of the conversation.turn row to the commit of the reply, "
            "turns one after the other; SET LOCAL (tenant, role) counts as a statement although it "
            "travels with BEGIN. What dominates: round trips to PostgreSQL (SQLAlchemy's and "
            "asyncpg's CPU for each), then LangChain's call of a model. Of the graph part, four "
            "fifths are LangGraph's own run of a graph, although it has one node and one step."
        )
        return measured


def _in_a_loop_of_workers(measured: Coroutine[Any, Any, list[Row]]) -> list[Row]:
    """Our workers run on another event loop than ``asyncio.run`` makes, where it is installed."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(measured)


def settings_for(db: TestDatabase, redis: RedisForTests, **llm: Any) -> PlatformSettings:
    """A worker's settings as they come, on these servers."""
    return PlatformSettings(
        database=db.settings,
        cache=CacheSettings(redis_url=SecretStr(redis.url)),
        security=SecuritySettings(master_key=rows.MASTER_KEY, outbound_allow_hosts=("127.0.0.1",)),
        llm=LlmSettings(**llm),
    )


class _Bench:
    """Turns of one worker, one after the other."""

    def __init__(self, db: TestDatabase, worker: Worker, shop: Shop, postmaster: int) -> None:
        self._db = db
        self._worker = worker
        self._shop = shop
        self._postmaster = postmaster

    async def measure(self, options: Options) -> list[Row]:
        turns = options.count(TURNS)
        await self._turns(60)  # prepared statements, imports, breakers
        sent = await self._counted()
        whole: list[float] = []
        database: list[float] = []
        by_stage: dict[str, list[tuple[float, float]]] = {name: [] for name in ORDER}
        for number in range(options.rounds):
            options.say(f"turns, round {number + 1}: {turns}")
            plain = await self._round(turns)
            whole.append(plain[0])
            database.append(plain[1])
            stages = Stages()
            with stages.watching(*STAGES):
                await self._turns(turns, stages)
            for name in ORDER:
                by_stage[name].append((_median(stages.cpu[name]), _median(stages.wall[name])))
        both = [mine + theirs for mine, theirs in zip(whole, database, strict=True)]
        return [
            row("turn.statements", [sent.statements], goal=25, better="lower"),
            row("turn.commits", [sent.commits], goal=8, better="lower"),
            row("turn.round_trips", [sent.round_trips], better="lower"),
            row("turn.cpu", whole, unit="ms", goal=15, better="lower", note="the worker's"),
            row("turn.cpu_with_database", both, unit="ms", better="lower"),
            *(
                row(
                    f"turn.{name}.cpu",
                    [cpu for cpu, _ in pairs],
                    unit="ms",
                    better="lower",
                    note=f"wall {median(wall for _, wall in pairs):.2f} ms",
                )
                for name, pairs in by_stage.items()
            ),
        ]

    async def _counted(self) -> Statements:
        await open_conversations(self._db, self._shop, 1, text=ASKED)
        with Statements(self._worker.work.database) as sent:
            await self._one()
        return sent

    async def _round(self, turns: int) -> tuple[float, float]:
        """Milliseconds of CPU per turn of this process and of the database."""
        await open_conversations(self._db, self._shop, turns, text=ASKED)
        gc.collect()
        used, theirs = time.process_time(), cpu_seconds([self._postmaster])
        for _ in range(turns):
            await self._one()
        used, theirs = (
            time.process_time() - used,
            cpu_seconds([self._postmaster]) - theirs,
        )
        return used / turns * 1000, theirs / turns * 1000

    async def _turns(self, count: int, stages: Stages | None = None) -> None:
        await open_conversations(self._db, self._shop, count, text=ASKED)
        for _ in range(count):
            if stages is None:
                await self._one()
            else:
                with stages.run():
                    await self._one()

    async def _one(self) -> None:
        queue, container = self._worker.work.queue, self._worker.container
        [claim] = await queue.claim(Queue.CRM_TASKS, 1, wait=timedelta(seconds=5))
        await container.routes[claim.kind].handle(claim)


def _median(values: Sequence[float]) -> float:
    """In milliseconds; 0 where a stage did not occur."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2] * 1000 if ordered else 0.0


# -- the agent alone, beside the usual one ---------------------------------------------------------


async def _against_langgraph(options: Options) -> list[Row]:
    """Both agents without database: the same model, the same prompt, the same tool result."""
    runs = options.count(GRAPH_RUNS)
    ours, theirs = _our_agent(), _their_agent()
    mine: list[float] = []
    peers: list[float] = []
    graph: list[float] = []
    for number in range(options.rounds):
        options.say(f"agent alone, round {number + 1}: {runs} runs each")
        for _ in range(2):
            mine.append(await _cpu(ours, runs))
            peers.append(await _cpu(theirs, runs))
            stages = Stages()
            with stages.watching(*BESIDE_THE_GRAPH), stages.run():
                await ours(runs)
            graph.append(stages.cpu[REST][0] / runs * 1000)
    return [
        row("turn.langgraph.cpu", peers, unit="ms", better="lower", note="StateGraph + ToolNode"),
        row(
            "turn.graph_vs_langgraph",
            ratios(graph, peers),
            goal=0.30,
            better="lower",
            note="graph, loop, model calls, tool call",
        ),
        row(
            "turn.agent_vs_langgraph",
            ratios(mine, peers),
            better="lower",
            note="with prompt, breaker, retry, timeout and outgoing check: the peer has none",
        ),
    ]


async def _cpu(agent: Any, runs: int) -> float:
    """Milliseconds per run."""
    await agent(20)
    gc.collect()
    used = time.process_time()
    await agent(runs)
    return (time.process_time() - used) / runs * 1000


def _our_agent() -> Any:
    async def search(context: AgentContext, *, query: str, category: str | None = None) -> Any:
        return ToolOutcome(result=_FOUND)

    async def unused(context: AgentContext, **arguments: Any) -> Any:
        raise NotImplementedError

    names = (
        TOOL, "get_product_details", "check_stock", "get_customer_profile",
        "update_customer_profile", "hand_over_to_human",
    )  # fmt: skip
    model = FakeChatModel()
    factory = LLMFactory(LlmSettings(), transport=_no_network, scripted=lambda _: model)
    runner = CRMLangGraphRunner(
        ModelCaller(factory, CircuitBreakerRegistry(), LlmSettings()),
        dict.fromkeys(names, unused) | {TOOL: search},
    )
    turn = a_turn()
    config = LLMConfig(
        name="bench", provider=ProviderType.SCRIPTED, model=ModelName("fake"), max_tokens=1024
    )

    async def run(count: int) -> None:
        for _ in range(count):
            heard = Heard(message_id=MessageId(new_id()), text=ASKED, at=turn.now)
            outcome = await runner.run(turn, MemoryJournal(turn, [heard]), [config])
            assert getattr(outcome, "text", None) == ANSWER

    return run


def _their_agent() -> Any:
    system, *history = build_messages(a_turn(), [], "id", history=30)
    agent = LangGraphAgent(FakeChatModel(), system=str(system.content), found=_FOUND)

    async def run(count: int) -> None:
        for _ in range(count):
            assert await agent.answer(list[BaseMessage](history), ASKED) == ANSWER

    return run


_FOUND = (
    '{"products":[{"code":"p1","name":"Es Kopi Susu Gula Aren","variants":[{"code":"p1a",'
    '"name":"","price":"Rp25.000","stock":10,"available":true}]}],"total":1,"query":"kopi susu"}'
)


def a_turn() -> AgentTurn:
    """A turn of a customer who has not written before."""
    return AgentTurn(
        id=TurnId(new_id()),
        tenant_id=TenantId(new_id()),
        channel_id=ChannelId(new_id()),
        conversation_id=ConversationId(new_id()),
        customer_id=CustomerId(new_id()),
        lease_epoch=1,
        owner_epoch=1,
        llm_config_name="bench",
        state=ConversationState.GREETING,
        shop=ShopCard(name="Kopi Braga", currency="IDR", timezone="Asia/Jakarta", language="id"),
        customer=CustomerCard(name="Budi"),
        history=(),
        handles=(),
        now=utc_now(),
        deadline=timedelta(seconds=90),
    )


def _no_network() -> Any:
    raise NotImplementedError("this model needs no network")
