"""Commands on the database that the environment names, as operators of the distributed profile."""

import asyncio
from pathlib import Path

from pydantic import SecretStr

from gateway.application.services.authentication import Authentication
from gateway.domain.entities.api_key import Scope
from gateway.infrastructure.persistence.api_keys import SqlApiKeyStore
from shared.persistence.database import Database
from shared.security.crypto import new_secret_key
from tests.support.postgres import PostgresForTests, TestDatabase
from tests.support.redis import RedisForTests
from tests.support.up import ai_platform

KEYS = {"MASTER_KEY": new_secret_key(), "API_KEY_PEPPER": new_secret_key()}


def _environment(database: TestDatabase, **more: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database.url,
        "DATABASE_MIGRATION_URL": database.owner_url,
        **KEYS,
        **more,
    }


async def _run(*arguments: str, env: dict[str, str]) -> tuple[int, str, str]:
    told = await asyncio.to_thread(ai_platform, *arguments, env=env)
    return told.returncode, told.stdout, told.stderr


async def test_an_operators_key_is_made(
    database: Database, test_database: TestDatabase, tmp_path: Path
) -> None:
    code, out, err = await _run(
        "keys", "create", "--platform", "--name", "root", "--data-dir", str(tmp_path),
        env=_environment(test_database),
    )  # fmt: skip
    assert code == 0, err
    pepper = SecretStr(KEYS["API_KEY_PEPPER"])
    caller = await Authentication(SqlApiKeyStore(database), pepper).caller(f"Bearer {out.strip()}")
    assert caller.is_operator
    assert not caller.may(Scope.PRODUCTS_READ)


async def test_a_tenants_key_has_the_scopes_that_were_asked_for(
    database: Database, test_database: TestDatabase, tmp_path: Path
) -> None:
    data_dir, env = ("--data-dir", str(tmp_path)), _environment(test_database)
    assert (await _run("demo", "load", *data_dir, env=env))[0] == 0
    code, out, err = await _run(
        "keys", "create", "--tenant", "kopi-braga", "--name", "till",
        "--scope", "products:read", "--scope", "simulator", *data_dir, env=env,
    )  # fmt: skip
    assert code == 0, err
    pepper = SecretStr(KEYS["API_KEY_PEPPER"])
    caller = await Authentication(SqlApiKeyStore(database), pepper).caller(f"Bearer {out.strip()}")
    assert caller.scopes == {Scope.PRODUCTS_READ, Scope.SIMULATOR}
    assert caller.tenant_slug == "kopi-braga"


async def test_a_tenant_or_scope_that_is_not_there_is_refused_in_a_sentence(
    test_database: TestDatabase, tmp_path: Path
) -> None:
    env = _environment(test_database)
    for arguments in (
        ("--tenant", "nobody", "--scope", "*"),
        ("--tenant", "nobody", "--scope", "everything"),
    ):
        code, _, err = await _run(
            "keys", "create", "--name", "x", *arguments, "--data-dir", str(tmp_path), env=env
        )
        assert code == 1
        assert len(err.splitlines()) == 1
    assert await test_database.fetchval("SELECT count(*) FROM api_keys") == 0


async def test_migrate_builds_the_schema_and_does_so_once(
    postgres: PostgresForTests, tmp_path: Path
) -> None:
    empty = await postgres.database(migrated=False)
    try:
        for _ in range(2):
            code, out, err = await _run(
                "migrate", "--data-dir", str(tmp_path), env=_environment(empty)
            )
            assert (code, out) == (0, "The schema is up to date.\n"), err
        assert await empty.fetchval("SELECT count(*) FROM alembic_version") == 1
    finally:
        await postgres.drop(empty)


async def test_demo_info_knows_a_shop_on_a_given_database(
    test_database: TestDatabase, tmp_path: Path
) -> None:
    data_dir = ("--data-dir", str(tmp_path))
    env = _environment(test_database, PUBLIC_BASE_URL="https://shop.example.com")
    assert (await _run("demo", "load", *data_dir, env=env))[0] == 0
    code, out, err = await _run("demo", "info", *data_dir, env=env)
    assert code == 0, err
    assert "https://shop.example.com/v1/crm/webhook/whatsapp/" in out
    assert not (tmp_path / "credentials.json").exists()


async def test_the_doctor_finds_a_whole_installation_healthy(
    test_database: TestDatabase, redis_server: RedisForTests, tmp_path: Path
) -> None:
    env = _environment(test_database, REDIS_URL=redis_server.url)
    code, out, _ = await _run("doctor", "--port", "0", "--data-dir", str(tmp_path), env=env)
    assert code == 0, out
    for subject in ("Keys", "Database", "Schema", "Redis"):
        assert f"ok      {subject}" in out


async def test_the_doctor_says_what_is_missing(postgres: PostgresForTests, tmp_path: Path) -> None:
    empty = await postgres.database(migrated=False)
    try:
        env = _environment(
            empty,
            MASTER_KEY="short",
            REDIS_URL="redis://127.0.0.1:9",
            RABBITMQ_URL="amqp://guest:geheim@127.0.0.1:9",
            WAHA_SERVER_URL="http://127.0.0.1:9",
        )
        code, out, _ = await _run("doctor", "--port", "0", "--data-dir", str(tmp_path), env=env)
    finally:
        await postgres.drop(empty)
    assert code == 1
    assert "failed  Keys: MASTER_KEY" in out
    assert "failed  Schema: is at nothing" in out
    assert "ai-platform migrate" in out
    assert "note    Redis: REDIS_URL does not answer" in out
    assert "failed  RabbitMQ: RABBITMQ_URL does not connect" in out
    assert "failed  WAHA: WAHA_SERVER_URL does not answer" in out
    assert "geheim" not in out


async def test_the_doctor_refuses_a_role_above_row_security(
    test_database: TestDatabase, tmp_path: Path
) -> None:
    env = {**_environment(test_database), "DATABASE_URL": test_database.owner_url}
    code, out, _ = await _run("doctor", "--port", "0", "--data-dir", str(tmp_path), env=env)
    assert code == 1
    assert "failed  Database: DATABASE_URL connects as platform_owner" in out
