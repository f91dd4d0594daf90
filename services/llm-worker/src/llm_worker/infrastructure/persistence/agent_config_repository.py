"""Agents in PostgreSQL."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from llm_worker.domain.entities.agent_config import AgentConfig, AgentType
from llm_worker.domain.repositories.agent_config_repository import AgentConfigNotFound
from llm_worker.domain.repositories.published import PlatformRowsAreReadOnly
from llm_worker.domain.value_objects.temperature import Temperature
from llm_worker.infrastructure.persistence.published import Found, Key, PublishedRows
from llm_worker.infrastructure.persistence.tables import agent_configs
from shared.kernel.ids import TenantId


class SqlAgentConfigRepository:
    """Keeps the promises of `AgentConfigRepository` inside one transaction."""

    def __init__(self, connection: AsyncConnection, tenant_id: TenantId) -> None:
        self._tenant_id = tenant_id
        self._rows = PublishedRows(connection, agent_configs, tenant_id, ["name", "type"])

    async def get(self, name: str, kind: AgentType) -> AgentConfig:
        found = await self._rows.published(**_key(name, kind))
        if not found:
            raise _not_found(name, kind)
        return _entity(found[0])

    async def list(self) -> list[AgentConfig]:
        return [_entity(row) for row in await self._rows.published()]

    async def versions(self, name: str, kind: AgentType) -> Sequence[AgentConfig]:
        found = await self._rows.versions(_key(name, kind))
        if not found:
            raise _not_found(name, kind)
        return [_entity(row) for row in found]

    async def save(self, agent: AgentConfig, *, publish: bool = True) -> AgentConfig:
        if agent.tenant_id != self._tenant_id:
            raise PlatformRowsAreReadOnly
        values = {
            "llm_config_name": agent.llm_config_name,
            "template_name": agent.template_name,
            "temperature": None if agent.temperature is None else float(agent.temperature),
            "max_tokens": agent.max_tokens,
            "max_retries": agent.max_retries,
        }
        return _entity(await self._rows.add(_key(agent.name, agent.type), values, publish=publish))

    async def publish(self, name: str, kind: AgentType, version: int) -> None:
        await self._rows.publish(_key(name, kind), version)

    async def roll_back(self, name: str, kind: AgentType) -> int:
        version = await self._rows.roll_back(_key(name, kind))
        if version is None:
            raise _not_found(name, kind)
        return version

    async def withdraw(self, name: str, kind: AgentType) -> None:
        if not await self._rows.withdraw(_key(name, kind)):
            raise _not_found(name, kind)


def _key(name: str, kind: AgentType) -> Key:
    return {"name": name, "type": kind.value}


def _not_found(name: str, kind: AgentType) -> AgentConfigNotFound:
    return AgentConfigNotFound(f"There is no agent {kind} named {name}")


def _entity(row: Found) -> AgentConfig:
    temperature = row["temperature"]
    return AgentConfig(
        name=row["name"],
        type=AgentType(row["type"]),
        template_name=row["template_name"],
        tenant_id=None if row["tenant_id"] is None else TenantId(row["tenant_id"]),
        llm_config_name=row["llm_config_name"],
        temperature=None if temperature is None else Temperature(temperature),
        max_tokens=row["max_tokens"],
        max_retries=row["max_retries"],
        version=row["version"],
        active=row["active"],
    )
