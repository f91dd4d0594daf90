"""A question to a real model, with the tenant's own key."""

from dataclasses import dataclass
from datetime import timedelta

from langchain_core.messages import HumanMessage

from llm_worker.application.probe import ProbeOutcome
from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.infrastructure.llm.model_call import ModelCaller
from llm_worker.infrastructure.persistence.llm_config_repository import config_named
from shared.kernel.errors import DomainError
from shared.kernel.ids import TenantId
from shared.persistence.database import Database, DatabaseUnavailable
from shared.persistence.unit_of_work import Transaction
from shared.security.crypto import KeyRing

_PATIENCE = timedelta(seconds=25)
"""Less than the 30 s that whoever asked waits."""
_QUESTION = "Reply with the single word: ready"


@dataclass(frozen=True, slots=True)
class ModelProbe:
    """Implements `Probe`."""

    database: Database
    keys: KeyRing
    caller: ModelCaller

    async def __call__(self, tenant_id: TenantId, config_name: str) -> ProbeOutcome:
        try:
            config = await self._config(tenant_id, config_name)
            reply = await self.caller.call_recorded(
                [config], [HumanMessage(_QUESTION)], deadline=_PATIENCE
            )
        except DatabaseUnavailable:
            raise
        except DomainError as error:
            return ProbeOutcome(config=config_name, ok=False, code=error.code, detail=error.detail)
        record = reply.record
        return ProbeOutcome(
            config=config_name,
            ok=True,
            model=record.model,
            milliseconds=record.milliseconds,
            tokens_in=record.tokens_in,
            tokens_out=record.tokens_out,
        )

    async def _config(self, tenant_id: TenantId, name: str) -> LLMConfig:
        async with Transaction(self.database, tenant_id) as tx:
            return await config_named(tx.connection, tenant_id, name, self.keys)
