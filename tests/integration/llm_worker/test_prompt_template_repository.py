"""Templates in versions: which one answers, and who may change it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest

from llm_worker.domain.entities.prompt_template import PromptTemplate
from llm_worker.domain.repositories.prompt_template_repository import PromptTemplateNotFound
from llm_worker.domain.repositories.published import (
    NoEarlierVersion,
    PlatformRowsAreReadOnly,
    VersionNotFound,
    VersionTaken,
)
from llm_worker.infrastructure.persistence.prompt_template_repository import (
    SqlPromptTemplateRepository,
)
from shared.kernel.ids import TenantId, new_id
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction
from tests.support.postgres import TestDatabase

SEEDED = [
    "code-assistant",
    "creative-writer",
    "default-assistant",
    "fallback-agent",
    "followup-agent",
    "main-agent",
    "moderation-agent",
]


@pytest.fixture
def tenant() -> TenantId:
    return TenantId(uuid4())


@asynccontextmanager
async def templates(
    database: Database, tenant: TenantId
) -> AsyncIterator[SqlPromptTemplateRepository]:
    async with Transaction(database, tenant) as tx:
        yield SqlPromptTemplateRepository(tx.connection, tenant)
        await tx.commit()


def mine(tenant: TenantId, body: str = "Halo {{ name }}", name: str = "greeting") -> PromptTemplate:
    return PromptTemplate(name=name, body=body, tenant_id=tenant, description="Greets")


async def rows_of(db: TestDatabase) -> list[asyncpg.Record]:
    return await db.fetch("SELECT * FROM prompt_templates ORDER BY id")


async def test_the_platforms_templates_are_there_for_everybody(
    database: Database, tenant: TenantId
) -> None:
    async with templates(database, tenant) as repository:
        found = await repository.list()
    assert [template.name for template in found] == SEEDED
    assert all(template.tenant_id is None and template.active for template in found)
    # nothing is asked of them: they answer any job as they stand
    assert all(template.render({}) == template.body for template in found)


async def test_moderation_names_its_categories_and_its_form(
    database: Database, tenant: TenantId
) -> None:
    async with templates(database, tenant) as repository:
        body = (await repository.get("moderation-agent")).body
    for word in ("hate", "harassment", "self_harm", "sexual_minors", "violence", "illegal"):
        assert f"- {word} - " in body
    assert '{"verdict": "allowed" or "violation", "categories": [' in body


async def test_every_field_that_goes_in_comes_out(database: Database, tenant: TenantId) -> None:
    async with templates(database, tenant) as repository:
        saved = await repository.save(mine(tenant))
    assert saved == mine(tenant)
    async with templates(database, tenant) as repository:
        assert await repository.get("greeting") == saved
        assert saved in await repository.list()
        assert await repository.get_version("greeting", 1) == saved


async def test_a_tenants_template_wins_over_the_platforms(
    database: Database, tenant: TenantId
) -> None:
    async with templates(database, tenant) as repository:
        await repository.save(mine(tenant, name="main-agent"))
    async with templates(database, tenant) as repository:
        assert (await repository.get("main-agent")).tenant_id == tenant
        assert [each.name for each in await repository.list()] == SEEDED
        await repository.withdraw("main-agent")
        assert (await repository.get("main-agent")).tenant_id is None
    async with templates(database, TenantId(uuid4())) as repository:
        assert (await repository.get("main-agent")).tenant_id is None


async def test_a_new_version_answers_unless_it_is_a_draft(
    database: Database, tenant: TenantId
) -> None:
    async with templates(database, tenant) as repository:
        await repository.save(mine(tenant, "one"))
        await repository.save(mine(tenant, "two"))
        draft = await repository.save(mine(tenant, "three"), publish=False)
        assert (draft.version, draft.active) == (3, False)
        assert (await repository.get("greeting")).body == "two"
        versions = await repository.versions("greeting")
    assert [(each.version, each.body, each.active) for each in versions] == [
        (3, "three", False),
        (2, "two", True),
        (1, "one", False),
    ]


async def test_publishing_and_rolling_back_move_the_mark(
    database: Database, tenant: TenantId
) -> None:
    async with templates(database, tenant) as repository:
        for body in ("one", "two", "three"):
            await repository.save(mine(tenant, body))
        assert await repository.roll_back("greeting") == 2
        assert (await repository.get("greeting")).body == "two"
        assert await repository.roll_back("greeting") == 1
        await repository.publish("greeting", 3)
        await repository.publish("greeting", 3)
        assert (await repository.get("greeting")).body == "three"
        assert [each.active for each in await repository.versions("greeting")] == [
            True,
            False,
            False,
        ]


async def test_what_cannot_be_published_changes_nothing(
    database: Database, test_database: TestDatabase, tenant: TenantId
) -> None:
    async with templates(database, tenant) as repository:
        await repository.save(mine(tenant))
    before = await rows_of(test_database)
    async with templates(database, tenant) as repository:
        with pytest.raises(VersionNotFound):
            await repository.publish("greeting", 2)
        with pytest.raises(VersionNotFound):
            await repository.publish("main-agent", 1)
        with pytest.raises(VersionNotFound):
            await repository.get_version("greeting", 2)
        with pytest.raises(NoEarlierVersion):
            await repository.roll_back("greeting")
        for name in ("main-agent", "nothing"):
            with pytest.raises(PromptTemplateNotFound):
                await repository.roll_back(name)
            with pytest.raises(PromptTemplateNotFound):
                await repository.withdraw(name)
        with pytest.raises(PlatformRowsAreReadOnly):
            await repository.save(replace(mine(tenant), tenant_id=None))
        with pytest.raises(PlatformRowsAreReadOnly):
            await repository.save(mine(TenantId(uuid4())))
    assert await rows_of(test_database) == before


async def test_another_tenant_finds_and_changes_nothing(
    database: Database, test_database: TestDatabase, tenant: TenantId
) -> None:
    async with templates(database, tenant) as repository:
        await repository.save(mine(tenant))
        await repository.save(mine(tenant))
    before = await rows_of(test_database)
    async with templates(database, TenantId(uuid4())) as repository:
        for looking in (repository.get, repository.versions, repository.roll_back):
            with pytest.raises(PromptTemplateNotFound):
                await looking("greeting")
        with pytest.raises(VersionNotFound):
            await repository.publish("greeting", 1)
    assert await rows_of(test_database) == before


async def test_of_two_writers_at_once_one_is_told(
    database: Database, test_database: TestDatabase, tenant: TenantId
) -> None:
    async with templates(database, tenant) as repository:
        for body in ("one", "two", "three"):
            await repository.save(mine(tenant, body))
    for late, version in (("save", 1), ("publish", 2)):
        async with Transaction(database, tenant) as tx, Transaction(database, tenant) as behind:
            first = SqlPromptTemplateRepository(tx.connection, tenant)
            second = SqlPromptTemplateRepository(behind.connection, tenant)
            await first.publish("greeting", version)
            working = asyncio.create_task(
                second.publish("greeting", 3) if late == "publish" else second.save(mine(tenant))
            )
            await _until_blocked(database)
            await tx.commit()
            with pytest.raises(VersionTaken):
                await working
    published = "SELECT version FROM prompt_templates WHERE active AND name = 'greeting'"
    assert await test_database.fetchval(published) == 2


async def test_a_plain_row_of_the_operators_answers_at_once(
    database: Database, test_database: TestDatabase, tenant: TenantId
) -> None:
    """As the guide has it: insert a row, no code change."""
    await test_database.execute(
        "INSERT INTO prompt_templates (id, name, body) VALUES (gen_random_uuid(), 'poet', 'Rhyme.')"
    )
    async with templates(database, tenant) as repository:
        assert (await repository.get("poet")).render({}) == "Rhyme."


async def test_the_database_keeps_one_published_version(test_database: TestDatabase) -> None:
    insert = (
        "INSERT INTO prompt_templates (id, tenant_id, name, version, body)"
        " VALUES ($1, $2, 'a', $3, 'x')"
    )
    for tenant in (None, new_id()):
        await test_database.execute(insert, new_id(), tenant, 1)
        for version, constraint in (
            (2, "uq_prompt_templates_active"),
            (1, "uq_prompt_templates_tenant_id_name_version"),
        ):
            with pytest.raises(asyncpg.UniqueViolationError) as refused:
                await test_database.execute(insert, new_id(), tenant, version)
            assert refused.value.constraint_name == constraint


async def _until_blocked(database: Database) -> None:
    """Until another session waits for a row, which only the database knows."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with asyncio.timeout(10), database.engine.connect() as connection:
        while not (await connection.exec_driver_sql(query)).scalar_one():
            await asyncio.sleep(0.01)
