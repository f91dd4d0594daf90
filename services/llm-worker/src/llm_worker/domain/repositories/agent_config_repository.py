"""Where agents are kept."""

from collections.abc import Sequence
from typing import Protocol

from llm_worker.domain.entities.agent_config import AgentConfig, AgentType
from shared.kernel.errors import NotFound


class AgentConfigNotFound(NotFound):
    """No published agent has this name and type."""

    code = "agent_config_not_found"


class AgentConfigRepository(Protocol):
    """Reads for one tenant, whose own published version of an agent wins over the platform's;
    writes the tenant's own.

    Of each name and type one version is published. Writers raise `VersionTaken` when another one
    was there at the same moment.
    """

    async def get(self, name: str, kind: AgentType) -> AgentConfig:
        """The published version; raises `AgentConfigNotFound`."""
        ...

    async def list(self) -> list[AgentConfig]:
        """The published version of every agent, by name and type."""
        ...

    async def versions(self, name: str, kind: AgentType) -> Sequence[AgentConfig]:
        """What was saved of that agent, the newest first: the tenant's, or the platform's where
        the tenant has none. Raises `AgentConfigNotFound`.
        """
        ...

    async def save(self, agent: AgentConfig, *, publish: bool = True) -> AgentConfig:
        """Write the next version of a tenant's agent, and publish it unless told otherwise.

        Raises:
            PlatformRowsAreReadOnly: it is not this tenant's.
        """
        ...

    async def publish(self, name: str, kind: AgentType, version: int) -> None:
        """Let that version of the tenant's answer from now on; raises `VersionNotFound`."""
        ...

    async def roll_back(self, name: str, kind: AgentType) -> int:
        """Publish the version before the published one again; returns it.

        Raises:
            AgentConfigNotFound: the tenant has published none.
            NoEarlierVersion: it is the first.
        """
        ...

    async def withdraw(self, name: str, kind: AgentType) -> None:
        """Publish no version of the tenant's any more; the platform's returns.

        Raises:
            AgentConfigNotFound: the tenant has published none.
        """
        ...
