"""Where model configurations are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from llm_worker.domain.entities.llm_config import LLMConfig
from shared.kernel.errors import Conflict, NotFound


class LLMConfigNotFound(NotFound):
    """No active model has this name."""

    code = "llm_config_not_found"


class LLMConfigChanged(Conflict):
    """Somebody else saved this model at the same moment."""

    code = "llm_config_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMConfigVersion:
    """A configuration as it was saved once."""

    version: int
    created_at: datetime
    config: LLMConfig


class LLMConfigRepository(Protocol):
    """Reads for one tenant, whose own row of a name wins over the platform's."""

    async def get(self, name: str) -> LLMConfig:
        """The latest active version of that name; raises `LLMConfigNotFound`."""
        ...

    async def list(self, *, inactive: bool = False) -> list[LLMConfig]:
        """Every model this tenant may use, the latest active version of each name, by name.

        ``inactive`` adds the names without an active version, as they were last.
        """
        ...

    async def versions(self, name: str) -> Sequence[LLMConfigVersion]:
        """What was saved under that name, the newest first: the tenant's, or the platform's where
        the tenant has none. Raises `LLMConfigNotFound`.
        """
        ...

    async def save(self, config: LLMConfig) -> int:
        """Write the next version of a tenant's model, its key sealed; returns that version.

        Raises:
            KeyNotAllowed: the row would not be this tenant's; platform rows are the operator's.
            LLMConfigChanged: another writer took the version.
        """
        ...

    async def deactivate(self, name: str) -> None:
        """Put all versions of a tenant's model out of use; the platform's of that name returns.

        Raises:
            LLMConfigNotFound: the tenant has no active model of its own by that name.
        """
        ...
