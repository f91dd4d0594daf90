"""How a tenant's agents answer, changed while they do."""

from dataclasses import dataclass

from commerce_agent.application.queries.page import Page
from commerce_agent.domain.services.optimistic_lock import expect_version
from gateway.application.ports.llm_work import OpenLLMWork
from gateway.application.services.named_pages import newest_first, page_by
from llm_worker.domain.entities.agent_config import AgentConfig, AgentType
from shared.kernel.ids import TenantId


@dataclass(frozen=True, slots=True)
class AgentConfigs:
    """Reads find the tenant's own published version before the platform's; writes make versions
    of the tenant's own.

    Raises, where a name and a type are given: `AgentConfigNotFound`.
    """

    open: OpenLLMWork

    async def list(
        self, tenant_id: TenantId, *, limit: int, cursor: str | None
    ) -> Page[AgentConfig]:
        """The published version of every agent, by name and type."""
        async with self.open(tenant_id) as work:
            found = await work.agents.list()
        return page_by(
            found, lambda agent: f"{agent.name}\n{agent.type}", limit=limit, cursor=cursor
        )

    async def get(self, tenant_id: TenantId, name: str, kind: AgentType) -> AgentConfig:
        """The published version."""
        async with self.open(tenant_id) as work:
            return await work.agents.get(name, kind)

    async def versions(
        self, tenant_id: TenantId, name: str, kind: AgentType, *, limit: int, cursor: str | None
    ) -> Page[AgentConfig]:
        """The newest first: the tenant's, or the platform's where the tenant has none."""
        async with self.open(tenant_id) as work:
            found = await work.agents.versions(name, kind)
        return page_by(found, lambda agent: newest_first(agent.version), limit=limit, cursor=cursor)

    async def save(
        self,
        tenant_id: TenantId,
        agent: AgentConfig,
        *,
        publish: bool,
        expected_version: int | None,
    ) -> AgentConfig:
        """The next version of an agent, the first one where the tenant has none yet.

        Raises:
            ChangedMeanwhile: what answers now is not the version that was expected.
        """
        async with self.open(tenant_id) as work:
            if expected_version is not None:
                present = await work.agents.get(agent.name, agent.type)
                expect_version(present.version, expected_version)
            saved = await work.agents.save(agent, publish=publish)
            await work.commit()
        return saved

    async def publish(
        self, tenant_id: TenantId, name: str, kind: AgentType, version: int
    ) -> AgentConfig:
        """Let one of the tenant's versions answer. Raises `VersionNotFound`."""
        async with self.open(tenant_id) as work:
            await work.agents.publish(name, kind, version)
            published = await work.agents.get(name, kind)
            await work.commit()
        return published

    async def roll_back(self, tenant_id: TenantId, name: str, kind: AgentType) -> AgentConfig:
        """Let the version before the published one answer. Raises `NoEarlierVersion`."""
        async with self.open(tenant_id) as work:
            await work.agents.roll_back(name, kind)
            published = await work.agents.get(name, kind)
            await work.commit()
        return published

    async def withdraw(self, tenant_id: TenantId, name: str, kind: AgentType) -> None:
        """Publish none of the tenant's; the platform's answers again."""
        async with self.open(tenant_id) as work:
            await work.agents.withdraw(name, kind)
            await work.commit()
