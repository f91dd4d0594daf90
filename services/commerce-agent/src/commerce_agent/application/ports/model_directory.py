"""Which models a tenant's agent may ask."""

from collections.abc import Sequence
from typing import Protocol

from llm_worker.domain.entities.llm_config import LLMConfig
from shared.kernel.ids import TenantId


class ModelDirectory(Protocol):
    """Finds a tenant's models by name."""

    async def chain(self, tenant_id: TenantId, name: str) -> Sequence[LLMConfig]:
        """The model of that name, then those that stand in for it.

        Raises:
            LLMConfigNotFound: there is none.
            KeyNotAllowed, InvalidLLMConfig: it may not be used as it stands.
        """
        ...
