"""The database's roles and the database itself, made by a superuser before the first migration.

Roles belong to the whole server, so they are made when absent, never changed and never dropped.
"""

from contextlib import suppress

import asyncpg

OWNER = "platform_owner"
"""Owns the tables and runs the migrations (DATABASE_MIGRATION_URL)."""

RUNTIME = "platform_app"
"""What every process connects as (DATABASE_URL); row-level security binds it."""

SYSTEM_ROLES = ("platform_ingest", "platform_relay", "platform_sweeper", "platform_operator")
"""See across tenants, each only what its work needs; entered with SET LOCAL ROLE."""

_ROLES = (
    (OWNER, "LOGIN NOSUPERUSER NOBYPASSRLS"),
    (RUNTIME, "LOGIN NOINHERIT NOSUPERUSER NOBYPASSRLS"),
    *((role, "NOLOGIN NOSUPERUSER NOBYPASSRLS") for role in SYSTEM_ROLES),
)
_DUPLICATE = (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError)


async def create_roles(connection: asyncpg.Connection) -> frozenset[str]:
    """Make the roles that are missing, and say which. Several callers at once are fine."""
    made: set[str] = set()
    for name, options in _ROLES:
        if await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name):
            continue
        with suppress(*_DUPLICATE):  # another process was quicker
            await connection.execute(f"CREATE ROLE {name} {options}")
            made.add(name)
    for role in SYSTEM_ROLES:
        member = await connection.fetchval("SELECT pg_has_role($1, $2, 'MEMBER')", RUNTIME, role)
        if not member:
            with suppress(*_DUPLICATE):  # another process was quicker
                await connection.execute(f"GRANT {role} TO {RUNTIME}")
    return frozenset(made)


async def create_database(connection: asyncpg.Connection, name: str) -> bool:
    """Make the database if it is absent; say whether it was made."""
    if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
        return False
    # template0 with C.UTF-8: the same sorting on every server
    await connection.execute(f'CREATE DATABASE "{name}" OWNER {OWNER} TEMPLATE template0')
    return True
