"""Which agents answer the jobs of a configuration."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from llm_worker.application.ports.setups import Setup
from llm_worker.domain.entities.agent_config import AgentConfig, AgentType
from llm_worker.domain.repositories.agent_config_repository import AgentConfigNotFound
from llm_worker.domain.repositories.published import (
    NoEarlierVersion,
    PlatformRowsAreReadOnly,
    VersionNotFound,
)
from llm_worker.domain.value_objects.temperature import Temperature
from llm_worker.infrastructure.persistence.agent_config_repository import SqlAgentConfigRepository
from llm_worker.infrastructure.persistence.prompt_template_repository import (
    SqlPromptTemplateRepository,
)
from shared.kernel.ids import TenantId
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction
from tests.support.postgres import TestDatabase

MAIN, MODERATION = AgentType.MAIN, AgentType.MODERATION


@pytest.fixture
def tenant() -> TenantId:
    return TenantId(uuid4())


@asynccontextmanager
async def agents(database: Database, tenant: TenantId) -> AsyncIterator[SqlAgentConfigRepository]:
    async with Transaction(database, tenant) as tx:
        yield SqlAgentConfigRepository(tx.connection, tenant)
        await tx.commit()


def mine(tenant: TenantId, **changes: Any) -> AgentConfig:
    agent = AgentConfig(
        name="default",
        type=MAIN,
        template_name="code-assistant",
        tenant_id=tenant,
        llm_config_name="default-fast",
        temperature=Temperature(0.9),
        max_tokens=77,
        max_retries=0,
    )
    return replace(agent, **changes)


async def rows_of(db: TestDatabase) -> list[Any]:
    return await db.fetch("SELECT * FROM agent_configs ORDER BY id")


async def test_the_platform_has_one_of_each_with_a_template_that_exists(
    database: Database, tenant: TenantId
) -> None:
    async with Transaction(database, tenant) as tx:
        published = await SqlAgentConfigRepository(tx.connection, tenant).list()
        templates = await SqlPromptTemplateRepository(tx.connection, tenant).list()
    found = _agents_for("default-smart", published)
    assert {kind: agent.template_name for kind, agent in found.items()} == {
        kind: f"{kind}-agent" for kind in AgentType
    }
    assert {agent.template_name for agent in found.values()} <= {each.name for each in templates}
    # as the job's own model has it: some models take one temperature only
    assert {(each.llm_config_name, each.temperature) for each in found.values()} == {(None, None)}


async def test_every_field_that_goes_in_comes_out(database: Database, tenant: TenantId) -> None:
    bare = AgentConfig(name="bare", type=MODERATION, template_name="x", tenant_id=tenant)
    async with agents(database, tenant) as repository:
        assert await repository.save(mine(tenant)) == mine(tenant)
        assert await repository.save(bare) == bare
    async with agents(database, tenant) as repository:
        assert await repository.get("default", MAIN) == mine(tenant)
        assert await repository.get("bare", MODERATION) == bare
        assert [(each.name, each.type) for each in await repository.list()] == [
            ("bare", "moderation"),
            *(("default", kind) for kind in sorted(AgentType)),
        ]


async def test_an_agent_of_the_configurations_own_wins_then_the_tenants(
    database: Database, test_database: TestDatabase, tenant: TenantId
) -> None:
    await test_database.execute(
        "INSERT INTO agent_configs (id, name, type, template_name)"
        " VALUES (gen_random_uuid(), 'coder', 'main', 'platform-coder')"
    )

    async def main_of(config: str) -> str:
        async with agents(database, tenant) as repository:
            found = _agents_for(config, await repository.list())
        assert set(found) == set(AgentType)
        return found[MAIN].template_name

    assert [await main_of("coder"), await main_of("other")] == ["platform-coder", "main-agent"]
    async with agents(database, tenant) as repository:
        await repository.save(mine(tenant, template_name="my-default"))
    assert [await main_of("coder"), await main_of("other")] == ["platform-coder", "my-default"]
    async with agents(database, tenant) as repository:
        await repository.save(mine(tenant, name="coder", template_name="my-coder"))
    assert [await main_of("coder"), await main_of("other")] == ["my-coder", "my-default"]
    async with agents(database, tenant) as repository:
        await repository.withdraw("coder", MAIN)
    assert [await main_of("coder"), await main_of("other")] == ["platform-coder", "my-default"]


async def test_publishing_and_rolling_back_move_the_mark(
    database: Database, tenant: TenantId
) -> None:
    async with agents(database, tenant) as repository:
        for number in (1, 2):
            await repository.save(mine(tenant, max_tokens=number))
        await repository.save(mine(tenant, max_tokens=3), publish=False)
        await repository.save(mine(tenant, type=MODERATION))

        async def shown() -> list[tuple[int, int | None, bool]]:
            versions = await repository.versions("default", MAIN)
            return [(each.version, each.max_tokens, each.active) for each in versions]

        assert await shown() == [(3, 3, False), (2, 2, True), (1, 1, False)]
        assert await repository.roll_back("default", MAIN) == 1
        assert await shown() == [(3, 3, False), (2, 2, False), (1, 1, True)]
        await repository.publish("default", MAIN, 3)
        assert await shown() == [(3, 3, True), (2, 2, False), (1, 1, False)]
        assert (await repository.get("default", MODERATION)).tenant_id == tenant


async def test_what_is_refused_changes_nothing(
    database: Database, test_database: TestDatabase, tenant: TenantId
) -> None:
    async with agents(database, tenant) as repository:
        await repository.save(mine(tenant))
    before = await rows_of(test_database)
    async with agents(database, tenant) as repository:
        with pytest.raises(VersionNotFound):
            await repository.publish("default", MAIN, 2)
        with pytest.raises(VersionNotFound):
            await repository.publish("default", MODERATION, 1)
        with pytest.raises(NoEarlierVersion):
            await repository.roll_back("default", MAIN)
        for refused in (
            repository.roll_back("default", MODERATION),
            repository.withdraw("default", MODERATION),
            repository.get("nothing", MAIN),
            repository.versions("nothing", MAIN),
        ):
            with pytest.raises(AgentConfigNotFound):
                await refused
        with pytest.raises(PlatformRowsAreReadOnly):
            await repository.save(mine(tenant, tenant_id=None))
    async with agents(database, TenantId(uuid4())) as repository:
        with pytest.raises(AgentConfigNotFound):
            await repository.roll_back("default", MAIN)
        assert (await repository.get("default", MAIN)).tenant_id is None
    assert await rows_of(test_database) == before


def _agents_for(config: str, published: list[AgentConfig]) -> Mapping[AgentType, AgentConfig]:
    return Setup(models=(), unusable={}, templates={}, agents=published).agents_for(config)
