"""Checks of what the settings name: PostgreSQL, Redis, RabbitMQ, WAHA, keys."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import asyncpg
import httpx2
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from ai_platform.doctor.report import Finding, failed, note, ok
from ai_platform.errors import root_cause
from shared.config.settings import DatabaseSettings, WahaSettings
from shared.kernel.errors import DomainError
from shared.persistence.database import UnsafeRole, open_database
from shared.persistence.migrate import alembic_config
from shared.persistence.roles import RUNTIME, SYSTEM_ROLES
from shared.security.crypto import WeakKey, read_secret_key
from shared.security.outbound import open_client

_PATIENCE = timedelta(seconds=5)
_REFUSALS = (OSError, TimeoutError, asyncpg.PostgresError, ArgumentError, ValueError)
_LACKS = """
    SELECT coalesce(string_agg(wanted, ', '), '') FROM unnest($1::text[]) AS wanted
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted)
       OR NOT pg_has_role(current_user, wanted, 'MEMBER')
    """


async def check_database(url: str) -> Finding:
    """Connect as the services do, and look at the roles."""
    try:
        async with open_database(DatabaseSettings(database_url=SecretStr(url))):
            pass
        lacks = await _ask(url, _LACKS, list(SYSTEM_ROLES))
    except UnsafeRole as error:
        return failed("Database", str(error))
    except (DomainError, *_REFUSALS) as error:
        return failed("Database", f"DATABASE_URL does not connect ({root_cause(error)})")
    if lacks:
        return failed(
            "Database", f"{RUNTIME} is not a member of {lacks}: run infra/docker/postgres/init.sql"
        )
    return ok("Database", "connects, with the roles that it needs")


async def check_schema(migration_url: str | None) -> Finding:
    """Compare the database's revision with the newest that this code knows."""
    if migration_url is None:
        return note("Schema", "DATABASE_MIGRATION_URL is not set, so its revision is not known")
    newest = ScriptDirectory.from_config(alembic_config()).get_current_head()
    try:
        present = await _ask(migration_url, "SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        present = None
    except _REFUSALS as error:
        return failed("Schema", f"DATABASE_MIGRATION_URL does not connect ({root_cause(error)})")
    if present != newest:
        return failed(
            "Schema", f"is at {present or 'nothing'}, not at {newest}: run ai-platform migrate"
        )
    return ok("Schema", f"is at {newest}, the newest")


async def check_redis(url: str | None) -> Finding:
    """Redis is a cache: away, everything is slower and nothing is wrong."""
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    if url is None:
        return note("Redis", "REDIS_URL is not set: each process keeps its own cache")
    try:
        async with Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5) as redis:
            await redis.ping()
    except (RedisError, OSError, TimeoutError, ValueError) as error:
        return note("Redis", f"REDIS_URL does not answer ({root_cause(error)}): slower, not wrong")
    return ok("Redis", "answers")


async def check_rabbitmq(url: str | None) -> Finding:
    import aio_pika
    from aio_pika.exceptions import AMQPError

    if url is None:
        return ok("RabbitMQ", "not used: PostgreSQL carries the queues")
    try:
        connection = await aio_pika.connect(url, timeout=_PATIENCE.total_seconds())
        await connection.close()
    except (AMQPError, OSError, TimeoutError, ValueError) as error:
        return failed("RabbitMQ", f"RABBITMQ_URL does not connect ({root_cause(error)})")
    return ok("RabbitMQ", "answers")


async def check_waha(waha: WahaSettings, allow_hosts: Sequence[str]) -> Finding:
    if waha.waha_server_url is None:
        return ok("WAHA", "not used: WAHA_SERVER_URL is not set")
    key = waha.waha_api_key.get_secret_value() if waha.waha_api_key else ""
    try:
        async with open_client(
            allow_hosts,
            timeout=_PATIENCE,
            base_url=waha.waha_server_url,
            headers={"X-Api-Key": key},
        ) as client:
            answer = await client.get("/api/server/version")
    except (httpx2.HTTPError, OSError, ValueError) as error:
        return failed("WAHA", f"WAHA_SERVER_URL does not answer ({root_cause(error)})")
    if answer.status_code in (401, 403):
        return failed("WAHA", "refuses the key: set WAHA_API_KEY to the server's own")
    if not answer.is_success:
        return failed("WAHA", f"answers {answer.status_code} where WAHA tells its version")
    return ok("WAHA", "answers")


def check_keys(master_key: str | None, pepper: str | None) -> Finding:
    for name, value in (("MASTER_KEY", master_key), ("API_KEY_PEPPER", pepper)):
        if not value:
            return failed("Keys", f"{name} is not set: make one with openssl rand -base64 32")
        try:
            read_secret_key(SecretStr(value), name)
        except WeakKey as error:
            return failed("Keys", f"{error}: make one with openssl rand -base64 32")
    return ok("Keys", "MASTER_KEY and API_KEY_PEPPER are 32 bytes each")


async def _ask(url: str, sql: str, *arguments: object) -> object:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    async with asyncio.timeout(_PATIENCE.total_seconds()):
        connection = await asyncpg.connect(plain)
        try:
            return await connection.fetchval(sql, *arguments)
        finally:
            await connection.close()
