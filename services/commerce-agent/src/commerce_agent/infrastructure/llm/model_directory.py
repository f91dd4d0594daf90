"""A tenant's models, read from the tables of the LLM context."""

from collections.abc import Sequence
from dataclasses import dataclass

from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.infrastructure.persistence.llm_config_repository import config_named
from shared.kernel.ids import TenantId
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction
from shared.security.crypto import KeyRing


@dataclass(frozen=True, slots=True)
class SqlModelDirectory:
    """Implements `ModelDirectory`; the keys are opened with the tenant's own key."""

    database: Database
    keys: KeyRing

    async def chain(self, tenant_id: TenantId, name: str) -> Sequence[LLMConfig]:
        async with Transaction(self.database, tenant_id) as tx:
            return [await config_named(tx.connection, tenant_id, name, self.keys)]
