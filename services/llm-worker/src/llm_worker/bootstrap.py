"""The LLM worker put together: every object is made here, in plain sight."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.infrastructure.llm.circuit_breaker import CircuitBreakerRegistry
from llm_worker.infrastructure.llm.llm_factory import LLMFactory, switch_tracing_off
from llm_worker.infrastructure.llm.model_call import ModelCaller, breaker_config
from llm_worker.infrastructure.llm.probe import ModelProbe
from llm_worker.interface.handlers import probe_handler
from llm_worker.interface.handlers.probe_handler import ProbeHandler
from shared.cache.open import open_cache
from shared.config.settings import LlmSettings, PlatformSettings
from shared.messaging.platform import Work, open_work
from shared.messaging.port import Route
from shared.security.crypto import KeyRing, WeakKey
from shared.security.outbound import safe_transport


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
    settings: LlmSettings, *, allow_hosts: Sequence[str]
) -> AsyncIterator[Models]:
    """Everything around model calls, for this worker and for the commerce agent's.

    Imports what the given keys ask for, so that no customer waits for it. ``allow_hosts`` is
    OUTBOUND_ALLOW_HOSTS: private addresses that a model's ``base_url`` may name.
    """
    switch_tracing_off()
    factory = LLMFactory(settings, transport=lambda: safe_transport(allow_hosts))
    circuits = CircuitBreakerRegistry(breaker_config(settings))
    for provider in _expected(settings):
        await factory.load(provider)
    try:
        yield Models(factory, circuits, ModelCaller(factory, circuits, settings))
    finally:
        await factory.aclose()


@asynccontextmanager
async def build(settings: PlatformSettings) -> AsyncIterator[Container]:
    """Open what the worker needs and close it in order.

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
        open_models(settings.llm, allow_hosts=settings.security.outbound_allow_hosts) as models,
    ):
        probe = ProbeHandler(work.database, cache, ModelProbe(work.database, keys, models.caller))
        yield Container(work, models, {probe_handler.KIND: Route(handle=probe)})


def _expected(settings: LlmSettings) -> list[ProviderType]:
    expected = [ProviderType.OFFLINE]
    if settings.openai_api_key is not None:
        expected.append(ProviderType.OPENAI)
    if settings.anthropic_api_key is not None:
        expected.append(ProviderType.ANTHROPIC)
    return expected
