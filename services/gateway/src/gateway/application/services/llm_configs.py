"""A tenant's models: listed, changed, and tried out."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import orjson

from commerce_agent.application.queries.page import Page
from commerce_agent.domain.services.optimistic_lock import expect_version
from gateway.application.listening import listening
from gateway.application.ports.llm_work import LLMWork, OpenLLMWork
from gateway.application.services.named_pages import newest_first, page_by
from llm_worker.application.probe import ProbeOutcome
from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.domain.repositories.llm_config_repository import (
    LLMConfigNotFound,
    LLMConfigVersion,
)
from llm_worker.domain.value_objects.api_key import ApiKey
from llm_worker.interface.handlers import probe_handler
from shared.cache.port import Cache
from shared.kernel.errors import Conflict, Unavailable
from shared.kernel.ids import TenantId, new_id
from shared.messaging.port import Queue, Task

PROBE_PATIENCE = timedelta(seconds=30)
_LOOK = timedelta(seconds=0.5)
"""How often the cache is asked for an outcome of which the word was lost."""


class LLMConfigExists(Conflict):
    """There is a model of yours by this name already: save its next version."""

    code = "llm_config_exists"


class ProbeUnanswered(Unavailable):
    """No worker has tried the model within 30 s."""

    code = "llm_probe_unanswered"


ConfigOf = Callable[[ApiKey | None], LLMConfig]
"""Makes a configuration with this key."""


@dataclass(frozen=True, slots=True)
class LLMConfigs:
    """Reads find the tenant's own active model of a name before the platform's; writes make
    versions of the tenant's own.

    Raises, where a name is given: `LLMConfigNotFound`.
    """

    open: OpenLLMWork
    cache: Cache

    async def list(
        self, tenant_id: TenantId, *, inactive: bool, limit: int, cursor: str | None
    ) -> Page[LLMConfig]:
        """Every model that the tenant may use, by name; ``inactive`` adds those out of use."""
        async with self.open(tenant_id) as work:
            found = await work.models.list(inactive=inactive)
        return page_by(found, lambda config: config.name, limit=limit, cursor=cursor)

    async def get(self, tenant_id: TenantId, name: str) -> LLMConfig:
        """The one that answers under that name now."""
        async with self.open(tenant_id) as work:
            return await work.models.get(name)

    async def versions(
        self, tenant_id: TenantId, name: str, *, limit: int, cursor: str | None
    ) -> Page[LLMConfigVersion]:
        """The newest first: the tenant's, or the platform's where the tenant has none."""
        async with self.open(tenant_id) as work:
            found = await work.models.versions(name)
        return page_by(found, lambda saved: newest_first(saved.version), limit=limit, cursor=cursor)

    async def create(self, tenant_id: TenantId, config: LLMConfig) -> LLMConfig:
        """A model of one's own, in front of the platform's of that name if there is one.

        Raises:
            LLMConfigExists: the tenant has an active one by that name.
        """
        async with self.open(tenant_id) as work:
            if await _own(work, tenant_id, config.name) is not None:
                raise LLMConfigExists
            return await _save(work, config)

    async def update(
        self,
        tenant_id: TenantId,
        name: str,
        config: ConfigOf,
        *,
        keep_key: bool,
        expected_version: int | None,
    ) -> LLMConfig:
        """The next version of a name, the first one where the tenant has none yet.

        With ``keep_key`` it takes over the key of the present version, if it goes to the same
        address: whoever may change a model need not be one who may read its key.

        Raises:
            ChangedMeanwhile: what answers now is not the version that was expected.
            KeyNotAllowed, InvalidLLMConfig: the rules of models.
        """
        async with self.open(tenant_id) as work:
            if expected_version is not None:
                expect_version((await work.models.get(name)).version, expected_version)
            present = await _own(work, tenant_id, name) if keep_key else None
            key = None if present is None else present.api_key
            changed = config(key)
            if key is not None and present is not None and not _same_address(present, changed):
                changed = config(None)
            return await _save(work, changed)

    async def deactivate(self, tenant_id: TenantId, name: str) -> None:
        """Put the tenant's own out of use; the platform's of that name answers again."""
        async with self.open(tenant_id) as work:
            await work.models.deactivate(name)
            await work.commit()

    async def test(self, tenant_id: TenantId, name: str) -> ProbeOutcome:
        """Let a worker ask the model one short question.

        Raises:
            ProbeUnanswered: no worker did within 30 s.
        """
        probe_id = str(new_id())
        topic = probe_handler.topic(probe_id)
        async with listening(self.cache, topic) as heard:
            async with self.open(tenant_id) as work:
                await work.models.get(name)
                payload = {"config": name, "id": probe_id}
                await work.enqueue(
                    Task(
                        queue=Queue.AI_TASKS,
                        kind=probe_handler.KIND,
                        key=probe_id,
                        payload=payload,
                        priority=10,
                    )
                )
                await work.commit()
            try:
                async with asyncio.timeout(PROBE_PATIENCE.total_seconds()):
                    while True:
                        answer = await heard.next(_LOOK) or await self.cache.get(topic)
                        if answer is not None:
                            return ProbeOutcome(**orjson.loads(answer))
            except TimeoutError as error:
                raise ProbeUnanswered from error


async def _own(work: LLMWork, tenant_id: TenantId, name: str) -> LLMConfig | None:
    """The tenant's active model of that name."""
    try:
        present = await work.models.get(name)
    except LLMConfigNotFound:
        return None
    return present if present.tenant_id == tenant_id else None


async def _save(work: LLMWork, config: LLMConfig) -> LLMConfig:
    version = await work.models.save(config)
    await work.commit()
    return replace(config, version=version)


def _same_address(one: LLMConfig, other: LLMConfig) -> bool:
    return (one.provider, one.base_url) == (other.provider, other.base_url)
