"""The path of a job in one process: its row and its work, the worker's own routes over the real
queue and database, and models over HTTP. Nothing happens until the test says so.

    async with open_job_path(database, llm) as path:
        job = await path.submit("Apa itu kopi luwak?")
        await path.settle()                # do all that is due, until nothing is
        await path.later(60)               # the database's clock and the circuits', then settle
        assert (await path.job(job))["status"] == "COMPLETED"
        await path.assert_clean()          # the auditor
        await path.begin_anew()            # for the next test: nothing is left

Retries within calls, circuits and what is remembered run in ``path.waits``; what a job still has of
its deadline is the database's time.
"""

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg

import shared.jobs
from llm_worker.application.services.processing_service import ProcessingService
from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.domain.value_objects.api_key import ApiKey
from llm_worker.domain.value_objects.model_name import ModelName
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.infrastructure.cache.job_news import CachedJobNews
from llm_worker.infrastructure.cache.text_deltas import text_deltas
from llm_worker.infrastructure.llm.circuit_breaker import CircuitBreakerRegistry, Monotonic
from llm_worker.infrastructure.llm.langgraph_runner import LangGraphRunner
from llm_worker.infrastructure.llm.llm_factory import LLMFactory
from llm_worker.infrastructure.llm.model_call import ModelCaller, breaker_config
from llm_worker.infrastructure.persistence.jobs import SqlJobDesk
from llm_worker.infrastructure.persistence.llm_config_repository import SqlLLMConfigRepository
from llm_worker.infrastructure.persistence.setups import SqlSetups
from llm_worker.interface.handlers.message_handler import MessageHandler, RunningJobs
from shared.cache.memory import MemoryCache
from shared.config.settings import LlmSettings, PlatformSettings, QueueSettings, SecuritySettings
from shared.kernel.ids import TenantId, new_id
from shared.messaging.consume import consume
from shared.messaging.platform import Work, open_work
from shared.messaging.port import Claim, Queue, Route
from shared.persistence.unit_of_work import Transaction
from shared.security.crypto import KeyRing
from shared.security.outbound import safe_transport
from tests.support import rows
from tests.support.auditor import Auditor
from tests.support.fake_llm import FakeLlm
from tests.support.postgres import TestDatabase
from tests.support.until_idle import UntilIdle
from tests.unit.llm_worker.infrastructure.fake_time import FakeTime

_models = itertools.count(1)
_EVERYTHING = (
    "queue_messages", "dead_letters", "domain_events", "job_attempts", "jobs", "job_batches",
    "llm_usage", "llm_budgets",
)  # fmt: skip
_KEYS = KeyRing(rows.MASTER_KEY)
_MANY_ROUNDS = 200
PROMPT = "Apa itu kopi luwak?"


async def submit_job(
    db: TestDatabase,
    tenant_id: TenantId,
    prompt: str = PROMPT,
    *,
    config_name: str,
    deadline: float = 3600,
    available_in: float = 0,
    **columns: Any,
) -> UUID:
    """A job with its event and its work, in one transaction, as the gateway accepts it. The work
    is due in ``available_in`` seconds."""
    job_id = new_id()
    async with db.admin() as connection, connection.transaction():
        now = await connection.fetchval("SELECT platform_now()")
        values = {
            "tenant_id": tenant_id,
            "id": job_id,
            "prompt": prompt,
            "config_name": config_name,
            "template_name": "default-assistant",
            "created_at": now,
            "deadline_at": now + timedelta(seconds=deadline),
        } | columns
        names = ", ".join(values)
        places = ", ".join(f"${place}" for place in range(1, len(values) + 1))
        await connection.execute(
            f"INSERT INTO jobs ({names}) VALUES ({places})",
            *(json.dumps(v) if isinstance(v, dict | list) else v for v in values.values()),
        )
        await connection.execute(
            "INSERT INTO domain_events (id, tenant_id, name, version, body, occurred_at)"
            " VALUES ($1, $2, 'job.created', 1, jsonb_build_object('job_id', $3::text,"
            " 'config_name', $4::text, 'retry_of', NULL, 'batch_id', NULL), $5)",
            new_id(),
            tenant_id,
            str(job_id),
            config_name,
            now,
        )
        await connection.execute(
            "SELECT enqueue_task($1, $2, 'ai_tasks', $3, $4,"
            " jsonb_build_object('job_id', $4::text), NULL, make_interval(secs => $6), $5,"
            " NULL, 0)",
            new_id(),
            tenant_id,
            shared.jobs.RUN,
            str(job_id),
            columns.get("priority", 0),
            available_in,
        )
    return job_id


@dataclass(kw_only=True)
class Worker:
    """One llm-worker: what it has in hand and what it believes of providers is its own."""

    desk: SqlJobDesk
    running: RunningJobs
    circuits: CircuitBreakerRegistry
    waits: FakeTime
    routes: Mapping[str, Route]


@dataclass
class JobPath:
    """Everything between a job's row and its end, and hands to move it step by step."""

    db: TestDatabase
    settings: PlatformSettings
    work: Work
    cache: MemoryCache
    llm: FakeLlm
    waits: FakeTime
    """The time of retries and circuits."""
    opened: AsyncExitStack
    worker: Worker = field(init=False)
    tenant: TenantId = field(init=False)
    auditor: Auditor = field(init=False)
    model: str = field(init=False)
    """The configuration that jobs name unless they say another."""
    shape: str = "openai"
    _offset: float = 0.0
    _dice: random.Random = field(default_factory=lambda: random.Random(7))

    async def begin_anew(self, *, shape: str = "openai") -> None:
        """As after `open_job_path`: no jobs, no past, a tenant and a model of its own, whose
        provider speaks as ``shape`` says."""
        await self.db.execute("".join(f"DELETE FROM {table};" for table in _EVERYTHING))
        self._offset = 0.0
        await self.db.jump(0)
        self.waits.slept.clear()
        self.llm.begin_anew()
        self.shape = shape
        self.tenant = await rows.a_tenant(self.db)
        self.model = await self.a_model()
        self.worker = self.a_worker()
        self.auditor = Auditor(self.db, llms=[self.llm])

    # -- what there is to do it with --------------------------------------------------------------

    def a_worker(self, *, monotonic: Monotonic | None = None, **llm_settings: Any) -> Worker:
        """Another worker of the same platform; ``monotonic`` instead of ``waits``."""
        monotonic = monotonic or self.waits.monotonic
        settings = self.settings.llm.model_copy(update=llm_settings)
        circuits = CircuitBreakerRegistry(breaker_config(settings), monotonic=monotonic)
        factory = LLMFactory(settings, transport=lambda: safe_transport(("127.0.0.1",)))
        self.opened.push_async_callback(factory.aclose)
        caller = ModelCaller(
            factory,
            circuits,
            settings,
            sleep=self.waits.sleep,
            dice=random.Random(7),
            monotonic=monotonic,
        )
        desk = SqlJobDesk(self.work.database)
        running = RunningJobs(desk)
        handler = MessageHandler(
            desk=desk,
            news=CachedJobNews(self.cache),
            processing=ProcessingService(
                SqlSetups(self.work.database, _KEYS, monotonic=monotonic),
                LangGraphRunner(caller, monotonic=monotonic),
            ),
            running=running,
            streams=partial(text_deltas, self.cache),
            rng=random.Random(7),
            sleep=self.waits.sleep,
        )
        route = Route(handle=handler, give_up=SqlJobDesk.give_up)
        return Worker(
            desk=desk,
            running=running,
            circuits=circuits,
            waits=self.waits,
            routes={shared.jobs.RUN: route},
        )

    async def a_model(self, **changes: Any) -> str:
        """A configuration of the tenant's that ``llm`` serves; its name."""
        name = f"fake-{next(_models)}"
        is_openai = self.shape == "openai"
        values: dict[str, Any] = {
            "name": name,
            "tenant_id": self.tenant,
            "provider": ProviderType.OPENAI_COMPATIBLE if is_openai else ProviderType.ANTHROPIC,
            "base_url": self.llm.openai_url if is_openai else self.llm.anthropic_url,
            "model": ModelName(name),
            "api_key": ApiKey(f"sk-{name}"),
            "timeout": timedelta(seconds=5),
        }
        config = LLMConfig(**(values | changes))
        async with Transaction(self.work.database, self.tenant) as tx:
            wrapped = await tx.connection.exec_driver_sql("SELECT wrapped_key FROM tenants")
            cipher = _KEYS.tenant(self.tenant, bytes(wrapped.scalar_one()))
            await SqlLLMConfigRepository(tx.connection, self.tenant, cipher).save(config)
            await tx.commit()
        self.waits.now += 10  # nobody remembers the configurations from before
        return config.name

    async def budget(self, **columns: Any) -> None:
        await rows.insert(self.db, "llm_budgets", {"tenant_id": self.tenant} | columns)

    async def submit(
        self,
        prompt: str = PROMPT,
        *,
        tenant: TenantId | None = None,
        deadline: float = 3600,
        **columns: Any,
    ) -> UUID:
        """A job as the gateway accepts it."""
        return await submit_job(
            self.db,
            tenant or self.tenant,
            prompt,
            deadline=deadline,
            **({"config_name": self.model} | columns),
        )

    async def cancel(self, job_id: UUID) -> None:
        """As the gateway does it."""
        await self.db.execute(
            "WITH c AS (UPDATE jobs SET status = 'CANCELLED', next_retry_at = NULL,"
            " finished_at = platform_now(), updated_at = platform_now() WHERE id = $1"
            " RETURNING tenant_id, id)"
            " INSERT INTO domain_events (id, tenant_id, name, version, body, occurred_at)"
            " SELECT $2, tenant_id, 'job.cancelled', 1, jsonb_build_object('job_id', id),"
            " platform_now() FROM c",
            job_id,
            new_id(),
        )

    # -- time and work ----------------------------------------------------------------------------

    async def settle(self, worker: Worker | None = None) -> int:
        """Do all that is due until nothing is; how many claims that took."""
        stop = asyncio.Event()
        until_idle = UntilIdle(self.work.queue, stop)
        await consume(
            until_idle,
            [Queue.AI_TASKS],
            (worker or self.worker).routes,
            stop=stop,
            settings=self.settings.queue,
            rng=self._dice,
        )
        return until_idle.claimed

    async def claim(self) -> Claim:
        """Lease the job that is first in line."""
        [claim] = await self.work.queue.claim(Queue.AI_TASKS, 1, wait=timedelta(0))
        return claim

    async def handle(self, claim: Claim, worker: Worker | None = None) -> None:
        await (worker or self.worker).routes[claim.kind].handle(claim)

    async def jump(self, seconds: float) -> None:
        """Move the database's clock and the circuits'; what is due then is not done yet."""
        self._offset += seconds
        self.waits.now += max(seconds, 0)
        await self.db.jump(self._offset)

    async def later(self, seconds: float) -> int:
        await self.jump(seconds)
        return await self.settle()

    async def rest(self, *, step: float = 30, at_most: int = 300) -> None:
        """Let time pass until no job is planned any more."""
        for _ in range(at_most):
            await self.settle()
            if not await self.count("queue_messages", "queue = 'ai_tasks'"):
                return
            await self.jump(step)
        raise AssertionError("there is still work")

    # -- what there is to see ---------------------------------------------------------------------

    async def job(self, job_id: UUID) -> asyncpg.Record:
        [row] = await self.db.fetch("SELECT * FROM jobs WHERE id = $1", job_id)
        return row

    async def status(self, job_id: UUID) -> str:
        return str((await self.job(job_id))["status"])

    async def attempts(self, job_id: UUID) -> list[asyncpg.Record]:
        return await self.db.fetch(
            "SELECT * FROM job_attempts WHERE job_id = $1 ORDER BY number", job_id
        )

    async def outcomes(self, job_id: UUID) -> list[str]:
        return [row["outcome"] for row in await self.attempts(job_id)]

    async def due_in(self, job_id: UUID) -> float:
        """Seconds until its work is due."""
        [row] = await self.db.fetch(
            "SELECT extract(epoch FROM available_at - platform_now())::float8 AS due"
            " FROM queue_messages WHERE key = $1",
            str(job_id),
        )
        return float(row["due"])

    async def usage(self) -> tuple[int, int, int]:
        """The tenant's tokens, cost and calls, of all days."""
        [row] = await self.db.fetch(
            "SELECT coalesce(sum(tokens), 0)::bigint AS tokens,"
            " coalesce(sum(cost_nanos), 0)::bigint AS cost,"
            " coalesce(sum(calls), 0)::bigint AS calls FROM llm_usage WHERE tenant_id = $1",
            self.tenant,
        )
        return row["tokens"], row["cost"], row["calls"]

    async def events(self, job_id: UUID) -> list[str]:
        found = await self.db.fetch(
            "SELECT name FROM domain_events WHERE body->>'job_id' = $1 ORDER BY occurred_at, id",
            str(job_id),
        )
        return [row["name"].removeprefix("job.") for row in found]

    async def count(self, table: str, where: str = "true") -> int:
        number = await self.db.fetchval(f"SELECT count(*) FROM {table} WHERE {where}")
        assert isinstance(number, int)
        return number

    async def assert_clean(self) -> None:
        await self.auditor.assert_clean()


@asynccontextmanager
async def open_job_path(
    db: TestDatabase,
    llm: FakeLlm,
    *,
    llm_settings: Mapping[str, Any] | None = None,
    queue: Mapping[str, Any] | None = None,
) -> AsyncIterator[JobPath]:
    """Open everything, with one tenant and one model."""
    settings = PlatformSettings(
        database=db.settings,
        security=SecuritySettings(master_key=rows.MASTER_KEY, outbound_allow_hosts=("127.0.0.1",)),
        llm=LlmSettings(**dict(llm_settings or {})),
        queue=QueueSettings(**dict(queue or {})),
    )
    async with AsyncExitStack() as opened:
        path = JobPath(
            db=db,
            settings=settings,
            work=await opened.enter_async_context(open_work(settings)),
            cache=MemoryCache(),
            llm=llm,
            waits=FakeTime(),
            opened=opened,
        )
        await path.begin_anew()
        yield path
