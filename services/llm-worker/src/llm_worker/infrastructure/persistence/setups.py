"""Tenants' models, templates and agents, read together and remembered for a moment."""

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta

from llm_worker.application.ports.setups import Setup
from llm_worker.infrastructure.persistence.agent_config_repository import SqlAgentConfigRepository
from llm_worker.infrastructure.persistence.llm_config_repository import models_of
from llm_worker.infrastructure.persistence.prompt_template_repository import (
    SqlPromptTemplateRepository,
)
from shared.kernel.ids import TenantId
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction
from shared.security.crypto import KeyRing

REMEMBERED = timedelta(seconds=3)
"""A change is to be seen within 5 s, and reading may take a moment itself."""
_MOST = 1024


class SqlSetups:
    """Keeps the promises of `Setups`."""

    def __init__(
        self, database: Database, keys: KeyRing, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._keys = keys
        self._monotonic = monotonic
        self._known: OrderedDict[TenantId, tuple[float, Setup]] = OrderedDict()

    async def of(self, tenant_id: TenantId, *, fresh: bool = False) -> Setup:
        known = None if fresh else self._known.get(tenant_id)
        if known is not None and self._monotonic() < known[0]:
            return known[1]
        began = self._monotonic()
        setup = await self._read(tenant_id)
        self._known[tenant_id] = (began + REMEMBERED.total_seconds(), setup)
        self._known.move_to_end(tenant_id)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
        return setup

    async def _read(self, tenant_id: TenantId) -> Setup:
        async with Transaction(self._database, tenant_id) as tx:
            models, unusable = await models_of(tx.connection, tenant_id, self._keys)
            templates = await SqlPromptTemplateRepository(tx.connection, tenant_id).list()
            agents = await SqlAgentConfigRepository(tx.connection, tenant_id).list()
        return Setup(
            models=models,
            unusable=unusable,
            templates={template.name: template for template in templates},
            agents=agents,
        )
