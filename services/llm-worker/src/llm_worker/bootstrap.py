"""The LLM worker put together: every object is made here, in plain sight."""

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import httpx2

import shared.jobs
from llm_worker.application.services.processing_service import ProcessingService
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.infrastructure.cache.breaker_board import BreakerBoard
from llm_worker.infrastructure.cache.job_news import CachedJobNews
from llm_worker.infrastructure.cache.text_deltas import text_deltas
from llm_worker.infrastructure.llm.circuit_breaker import CircuitBreakerRegistry
from llm_worker.infrastructure.llm.langgraph_runner import LangGraphRunner
from llm_worker.infrastructure.llm.llm_factory import LLMFactory, switch_tracing_off
from llm_worker.infrastructure.llm.model_call import ModelCaller, breaker_config
from llm_worker.infrastructure.llm.probe import ModelProbe
from llm_worker.infrastructure.persistence.jobs import SqlJobDesk
from llm_worker.infrastructure.persistence.setups import SqlSetups
from llm_worker.interface.handlers import probe_handler
from llm_worker.interface.handlers.message_handler import (
    RUN_LIMIT,
    MessageHandler,
    RunningJobs,
)
from llm_worker.interface.handlers.probe_handler import ProbeHandler
from shared.cache.open import open_cache
from shared.config.settings import LlmSettings, PlatformSettings
from shared.messaging.platform import Work, open_work
from shared.messaging.port import Route
from shared.security.crypto import KeyRing, WeakKey
from shared.security.outbound import safe_transport

_MARGIN = timedelta(minutes=1)
"""For what a job does before and after its models are asked."""


@dataclass(frozen=True, slots=True)
class Models:
    """What calls models in one process."""

    factory: LLMFactory
    circuits: CircuitBreakerRegistry
    caller: ModelCaller


@dataclass(frozen=True, slots=True)
class Container:
    work: Work
    models: Models
    routes: Mapping[str, Route]


@asynccontextmanager
async def open_models(
    settings: LlmSettings,
    *,
    allow_hosts: Sequence[str],
    circuits: CircuitBreakerRegistry | None = None,
) -> AsyncIterator[Models]:
    """Everything around model calls, for this worker and for the commerce agent's.

    Imports what the given keys ask for, so that no customer waits for it. ``allow_hosts`` is
    OUTBOUND_ALLOW_HOSTS: private addresses that a model's ``base_url`` may name. ``circuits`` are
    those of the process, where several services share one.
    """
    switch_tracing_off()
    factory = LLMFactory(settings, transport=lambda: model_transport(allow_hosts))
    circuits = circuits or CircuitBreakerRegistry()
    circuits.config = breaker_config(settings)
    for provider in _expected(settings):
        await factory.load(provider)
    try:
        yield Models(factory, circuits, ModelCaller(factory, circuits, settings))
    finally:
        await factory.aclose()


def model_transport(allow_hosts: Sequence[str]) -> httpx2.AsyncBaseTransport:
    """The way to one provider: as many connections as there are calls, which WORKER_CONCURRENCY
    bounds. A call that waited for a connection here would be taken for a slow model, and enough of
    them would open its circuit."""
    return safe_transport(allow_hosts, max_connections=None)


@asynccontextmanager
async def build(
    settings: PlatformSettings, circuits: CircuitBreakerRegistry | None = None
) -> AsyncIterator[Container]:
    """Open what the worker needs and close it in order; ``circuits`` as in `open_models`.

    Raises:
        WeakKey: MASTER_KEY is missing or no key.
        DatabaseUnavailable: no answer.
    """
    if settings.security.master_key is None:
        raise WeakKey("MASTER_KEY is not set")
    keys = KeyRing(settings.security.master_key)
    async with (
        open_work(settings) as work,
        open_cache(settings.cache) as cache,
        open_models(
            settings.llm,
            allow_hosts=settings.security.outbound_allow_hosts,
            circuits=circuits,
        ) as models,
        BreakerBoard(cache, models.circuits, "llm-worker").kept(),
        RunningJobs(SqlJobDesk(work.database)).watched() as running,
    ):
        probe = ProbeHandler(work.database, cache, ModelProbe(work.database, keys, models.caller))
        jobs = MessageHandler(
            desk=running.desk,
            news=CachedJobNews(cache),
            processing=ProcessingService(
                SqlSetups(work.database, keys), LangGraphRunner(models.caller)
            ),
            running=running,
            streams=partial(text_deltas, cache),
            rng=random.Random(),
        )
        routes = {
            probe_handler.KIND: Route(handle=probe),
            shared.jobs.RUN: Route(
                handle=jobs, give_up=SqlJobDesk.give_up, deadline=RUN_LIMIT + _MARGIN
            ),
        }
        yield Container(work, models, routes)


def _expected(settings: LlmSettings) -> list[ProviderType]:
    expected = [ProviderType.OFFLINE]
    if settings.openai_api_key is not None:
        expected.append(ProviderType.OPENAI)
    if settings.anthropic_api_key is not None:
        expected.append(ProviderType.ANTHROPIC)
    return expected
