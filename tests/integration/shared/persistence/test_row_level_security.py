"""The second wall between tenants: what the database itself refuses."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from shared.config.settings import DatabaseSettings
from shared.kernel.ids import TenantId, new_id
from shared.persistence.database import (
    Database,
    SystemRole,
    UnsafeRole,
    connection,
    open_database,
    system_transaction,
)
from shared.persistence.roles import OWNER, RUNTIME
from shared.persistence.unit_of_work import Transaction
from tests.support.postgres import TestDatabase

WITHOUT_TENANT = {"alembic_version"}
"""Tables that hold nothing of anybody's."""

PLATFORM_ROWS = {"llm_configs", "prompt_templates", "agent_configs"}
"""Tables whose rows without a tenant everybody reads, with a primary key of the id alone."""

OWN_IDENTITY = {
    # no foreign keys, or found before the tenant is known: their own id is the key
    *("inbox_events", "queue_messages", "dead_letters", "domain_events", "api_keys"),
    *PLATFORM_ROWS,
}


async def two_tenants(test_database: TestDatabase) -> tuple[TenantId, TenantId]:
    """Two tenants with a customer each."""
    made = []
    for number in range(2):
        tenant = TenantId(new_id())
        await test_database.execute(
            "INSERT INTO tenants (id, slug, name, wrapped_key) VALUES ($1, $2, 'Kedai', '')",
            tenant,
            f"kedai-{number}",
        )
        await test_database.execute(
            "INSERT INTO customers (tenant_id, id, name) VALUES ($1, $2, $3)",
            tenant,
            new_id(),
            f"Budi {number}",
        )
        made.append(tenant)
    return made[0], made[1]


async def names(tx: Transaction) -> Sequence[str]:
    return [*(await tx.connection.execute(text("SELECT name FROM customers"))).scalars()]


async def test_a_tenant_sees_its_own_rows_and_no_others(
    database: Database, test_database: TestDatabase
) -> None:
    one, other = await two_tenants(test_database)

    async with Transaction(database, one) as tx:
        assert await names(tx) == ["Budi 0"]
    async with Transaction(database, other) as tx:
        assert await names(tx) == ["Budi 1"]


async def test_without_a_tenant_there_are_no_rows_and_no_writes(
    database: Database, test_database: TestDatabase
) -> None:
    one, _ = await two_tenants(test_database)

    async with connection(database.engine) as opened:
        assert (await opened.execute(text("SELECT count(*) FROM customers"))).scalar_one() == 0
        assert (await opened.execute(text("UPDATE customers SET name = 'x'"))).rowcount == 0
        assert (await opened.execute(text("DELETE FROM customers"))).rowcount == 0
        with pytest.raises(DBAPIError, match="row-level security"):
            await opened.execute(
                text("INSERT INTO customers (tenant_id, id) VALUES (:tenant, :id)"),
                {"tenant": one, "id": new_id()},
            )

    assert await test_database.fetchval("SELECT count(*) FROM customers") == 2


async def test_another_tenants_rows_cannot_be_changed_or_made(
    database: Database, test_database: TestDatabase
) -> None:
    one, other = await two_tenants(test_database)

    async with Transaction(database, one) as tx:
        changed = await tx.connection.execute(
            text("UPDATE customers SET name = 'x' WHERE tenant_id = :other"), {"other": other}
        )
        assert changed.rowcount == 0
        with pytest.raises(DBAPIError, match="row-level security"):
            await tx.connection.execute(
                text("INSERT INTO customers (tenant_id, id) VALUES (:tenant, :id)"),
                {"tenant": other, "id": new_id()},
            )
    async with Transaction(database, one) as tx:
        with pytest.raises(DBAPIError, match="row-level security"):
            await tx.connection.execute(
                text("UPDATE customers SET tenant_id = :other"), {"other": other}
            )

    rows = await test_database.fetch("SELECT tenant_id, name FROM customers ORDER BY name")
    assert [tuple(row) for row in rows] == [(one, "Budi 0"), (other, "Budi 1")]


async def test_the_tenant_ends_with_the_transaction(
    database: Database, test_database: TestDatabase
) -> None:
    """The pool hands the same connection to the next, who must find nothing of ours."""
    one, _ = await two_tenants(test_database)
    async with Transaction(database, one) as tx:
        ours = (await tx.connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        await tx.commit()

    async with connection(database.engine) as opened:
        assert (await opened.execute(text("SELECT pg_backend_pid()"))).scalar_one() == ours
        assert (await opened.execute(text("SELECT count(*) FROM customers"))).scalar_one() == 0


async def test_a_system_role_ends_with_its_transaction(database: Database) -> None:
    async with system_transaction(database, SystemRole.RELAY) as opened:
        role = (await opened.execute(text("SELECT current_user"))).scalar_one()
        assert role == "platform_relay"

    async with connection(database.engine) as opened:
        assert (await opened.execute(text("SELECT current_user"))).scalar_one() == RUNTIME


async def test_the_relay_sees_all_work_and_no_customers(
    database: Database, test_database: TestDatabase
) -> None:
    await two_tenants(test_database)

    async with system_transaction(database, SystemRole.RELAY) as opened:
        assert (await opened.execute(text("SELECT count(id) FROM tenants"))).scalar_one() == 2
        for forbidden in (
            "SELECT name FROM tenants",
            "SELECT id FROM customers",
            "INSERT INTO queue_messages (id) VALUES (gen_random_uuid())",
        ):
            with pytest.raises(DBAPIError, match="permission denied"):
                async with opened.begin_nested():
                    await opened.execute(text(forbidden))


async def test_the_runtime_role_cannot_become_the_owner(database: Database) -> None:
    async with connection(database.engine) as opened:
        with pytest.raises(DBAPIError, match="permission denied"):
            await opened.execute(text(f"SET ROLE {OWNER}"))


@pytest.mark.parametrize("role", ["owner_url", "admin_url"])
async def test_a_role_that_walks_around_the_wall_is_refused(
    test_database: TestDatabase, role: str
) -> None:
    settings = DatabaseSettings(database_url=SecretStr(getattr(test_database, role)))

    with pytest.raises(UnsafeRole):
        async with open_database(settings):
            pytest.fail("opened")


async def test_an_owner_backfills_all_tenants(test_database: TestDatabase) -> None:
    """FORCE binds the owner too; without the policy ``owner_all`` a migration would see nothing."""
    await two_tenants(test_database)
    engine = create_async_engine(test_database.owner_url)
    async with engine.begin() as owner:
        result = await owner.execute(text("UPDATE customers SET note = 'regular'"))
    await engine.dispose()

    assert result.rowcount == 2
    noted = "SELECT count(*) FROM customers WHERE note = 'regular'"
    assert await test_database.fetchval(noted) == 2


async def tables_with_tenant(test_database: TestDatabase) -> set[str]:
    rows = await test_database.fetch(
        "SELECT table_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND column_name = 'tenant_id'"
    )
    return {row["table_name"] for row in rows}


async def test_every_table_of_tenants_has_the_wall(test_database: TestDatabase) -> None:
    walls = await test_database.fetch(
        """
        SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity AS forced,
               array_agg(p.polname::text ORDER BY p.polname) AS policies
        FROM pg_class c LEFT JOIN pg_policy p ON p.polrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
        GROUP BY c.oid
        """
    )
    expected = await tables_with_tenant(test_database) | {"tenants"}

    walled = {row["relname"] for row in walls if row["forced"]}
    assert walled == expected
    assert {row["relname"] for row in walls} - walled == WITHOUT_TENANT
    for row in walls:
        if row["forced"]:
            assert {"owner_all", "tenant"} <= set(row["policies"]), row["relname"]


async def test_every_tenants_policy_compares_the_tenant(test_database: TestDatabase) -> None:
    own = "= (NULLIF(current_setting('app.tenant'::text, true), ''::text))::uuid)"
    rows = await test_database.fetch(
        "SELECT tablename, roles::text[], qual, with_check FROM pg_policies"
        " WHERE policyname = 'tenant'"
    )

    for row in rows:
        column = "id" if row["tablename"] == "tenants" else "tenant_id"
        assert row["roles"] == [RUNTIME]
        assert row["with_check"] == f"({column} {own}", row["tablename"]
        if row["tablename"] in PLATFORM_ROWS:
            assert row["qual"] == f"((tenant_id IS NULL) OR ({column} {own})"
        else:
            assert row["qual"] == f"({column} {own}", row["tablename"]


async def test_every_foreign_key_leads_with_the_tenant(test_database: TestDatabase) -> None:
    """A key without the tenant would accept another tenant's row: the wall does not check it."""
    keys = await test_database.fetch(
        """
        SELECT c.conname, c.confrelid::regclass::text AS target, a.attname AS first,
               f.attname AS first_target
        FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
        JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = c.confkey[1]
        WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace
        """
    )
    assert keys
    for key in keys:
        target = "id" if key["target"] == "tenants" else "tenant_id"
        assert (key["first"], key["first_target"]) == ("tenant_id", target), key["conname"]


async def test_every_primary_key_leads_with_the_tenant(test_database: TestDatabase) -> None:
    rows = await test_database.fetch(
        """
        SELECT c.conrelid::regclass::text AS name, a.attname AS first FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
        WHERE c.contype = 'p' AND c.connamespace = 'public'::regnamespace
        """
    )
    leads = {row["name"]: row["first"] for row in rows}

    for name in await tables_with_tenant(test_database):
        assert leads[name] == ("id" if name in OWN_IDENTITY else "tenant_id"), name


async def test_nobody_but_the_owner_may_truncate_or_change_history(
    test_database: TestDatabase,
) -> None:
    granted = await test_database.fetch(
        "SELECT grantee, table_name, privilege_type FROM information_schema.role_table_grants"
        " WHERE table_schema = 'public' AND grantee LIKE 'platform%' AND grantee <> $1",
        OWNER,
    )
    may = {(row["table_name"], row["privilege_type"]) for row in granted}

    assert not {privilege for _, privilege in may} & {"TRUNCATE", "REFERENCES", "TRIGGER"}
    for history in ("domain_events", "audit_log", "message_anomalies"):
        assert {p for name, p in may if name == history} == {"SELECT", "INSERT"}


async def test_a_platform_row_is_read_by_all_and_written_by_none(
    database: Database, test_database: TestDatabase
) -> None:
    one, _ = await two_tenants(test_database)
    async with Transaction(database, one) as tx:
        for table in sorted(PLATFORM_ROWS):
            found = await tx.connection.execute(text(f"SELECT DISTINCT tenant_id FROM {table}"))
            assert found.scalar_one() is None, table
            with pytest.raises(DBAPIError, match="row-level security"):
                async with tx.connection.begin_nested():
                    await tx.connection.execute(text(f"UPDATE {table} SET name = 'mine'"))


async def test_a_tenant_is_a_uuid_or_nobody(test_database: TestDatabase) -> None:
    raw = await asyncpg.connect(test_database.url.replace("postgresql+asyncpg", "postgresql"))
    try:
        await raw.execute("SET app.tenant = ''")
        assert await raw.fetchval("SELECT count(*) FROM customers") == 0
        await raw.execute(f"SET app.tenant = '{UUID(int=1)}'")
        assert await raw.fetchval("SELECT count(*) FROM customers") == 0
    finally:
        await raw.close()
