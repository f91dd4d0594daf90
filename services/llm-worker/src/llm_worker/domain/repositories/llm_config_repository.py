"""Where model configurations are kept."""

from typing import Protocol

from llm_worker.domain.entities.llm_config import LLMConfig
from shared.kernel.errors import NotFound


class LLMConfigNotFound(NotFound):
    """No active model has this name."""

    code = "llm_config_not_found"


class LLMConfigRepository(Protocol):
    """Reads for one tenant, whose own row of a name wins over the platform's."""

    async def get(self, name: str) -> LLMConfig:
        """The latest active version of that name; raises `LLMConfigNotFound`."""
        ...

    async def list(self) -> list[LLMConfig]:
        """Every model this tenant may use, the latest active version of each name, by name."""
        ...
