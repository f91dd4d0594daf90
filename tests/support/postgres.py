"""PostgreSQL for tests: a private server, or the one that TEST_DATABASE_URL names.

Each test gets a database of its own, copied from a migrated template. A given server is only ever
added to: roles are made when absent and stay, our databases are dropped at the end.
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

import asyncpg
from pydantic import SecretStr
from sqlalchemy.engine import URL, make_url

from ai_platform.embedded.postgres import SUPERUSER, EmbeddedPostgres
from shared.config.settings import DatabaseSettings
from shared.persistence.migrate import migrate
from shared.persistence.roles import OWNER, RUNTIME, create_database, create_roles

_PASSWORD = "platform-tests"


def installed_bin_dir() -> Path | None:
    """The newest PostgreSQL that is installed on this machine; ``None``: take the wheel's."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parent.parent.name)
    )
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


@dataclass(frozen=True)
class TestDatabase:
    """One database: ``url`` as the runtime role, ``owner_url`` as owner, ``admin_url`` above."""

    __test__ = False

    name: str
    url: str
    owner_url: str
    admin_url: str

    @property
    def settings(self) -> DatabaseSettings:
        return DatabaseSettings(
            database_url=SecretStr(self.url), database_migration_url=SecretStr(self.owner_url)
        )

    async def execute(self, sql: str, *arguments: object) -> None:
        """Run SQL above row-level security."""
        async with self.admin() as connection:
            await connection.execute(sql, *arguments)

    async def fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Read above row-level security."""
        async with self.admin() as connection:
            return list(await connection.fetch(sql, *arguments))

    async def fetchval(self, sql: str, *arguments: object) -> object:
        async with self.admin() as connection:
            return await connection.fetchval(sql, *arguments)

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection above row-level security."""
        connection = await asyncpg.connect(plain(self.admin_url))
        try:
            yield connection
        finally:
            await connection.close()

    async def jump(self, seconds: float) -> None:
        """Move this database's clock, as seen by every due time and lease."""
        await self.execute(
            "CREATE OR REPLACE FUNCTION platform_now() RETURNS timestamptz LANGUAGE sql STABLE AS "
            f"$$SELECT clock_timestamp() + interval '{seconds} seconds'$$"
        )


async def _join_roles(admin: asyncpg.Connection, made: frozenset[str]) -> None:
    """Make a given server's roles usable: those we have just made get the tests' password, others
    must have it (or be trusted), and the given role, which need be no superuser, joins them."""
    for role in (OWNER, RUNTIME):
        if role in made:
            await admin.execute(f"ALTER ROLE {role} PASSWORD '{_PASSWORD}'")
        if not await admin.fetchval("SELECT pg_has_role(current_user, $1, 'USAGE')", role):
            await admin.execute(f"GRANT {role} TO CURRENT_USER")


def plain(url: str) -> str:
    """The address as asyncpg takes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


class _ManyConnections(EmbeddedPostgres):
    """A server that many stacks share, each with services that hold a few connections."""

    def _options(self) -> list[str]:
        return [*super()._options(), "-c", "max_connections=500"]


class PostgresForTests:
    """A server on which databases are made. ``private`` forces one of our own, for tests that kill
    or restart it; ``embedded`` the wheel's binaries."""

    def __init__(self, *, private: bool = False, embedded: bool = False) -> None:
        given = os.environ.get("TEST_DATABASE_URL")
        self._folder: Path | None = None
        self._durable = private or bool(given and not embedded)
        self.server: EmbeddedPostgres | None = None
        if given and not private and not embedded:
            self._admin = make_url(given).set(drivername="postgresql+asyncpg")
            return
        self._folder = Path(tempfile.mkdtemp(prefix="aip-pg-"))
        bin_dir = None if embedded else installed_bin_dir()
        self.server = _ManyConnections(self._folder, bin_dir=bin_dir, durable=private)
        self.server.start()
        self._admin = make_url(self.server.url(SUPERUSER, "postgres"))

    @property
    def folder(self) -> Path:
        """Where a server of our own keeps its data."""
        assert self._folder is not None, "a given server is not ours"
        return self._folder

    async def __aenter__(self) -> Self:
        self._prefix = f"aip_{uuid4().hex[:10]}"
        self._made: list[str] = []
        self._numbers = itertools.count()
        async with self._connection() as admin:
            made = await create_roles(admin)
            if self.server is None:
                await _join_roles(admin, made)
        self.template = await self._create(f"{self._prefix}_template")
        await migrate(self.template.owner_url)
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            if self.server is None:
                async with self._connection() as admin:
                    for name in self._made:
                        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        finally:
            self.stop()

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop(immediately=True)
            shutil.rmtree(self.server.socket_dir, ignore_errors=True)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def database(
        self, *, migrated: bool = True, like: TestDatabase | None = None
    ) -> TestDatabase:
        """A new database: a copy of the migrated template, of ``like`` (which nobody may have
        open), or an empty one."""
        name = f"{self._prefix}_{next(self._numbers)}"
        template = like or self.template
        return await self._create(name, template=template.name if migrated else None)

    async def drop(self, database: TestDatabase) -> None:
        async with self._connection() as admin:
            await admin.execute(f'DROP DATABASE IF EXISTS "{database.name}" WITH (FORCE)')
        self._made.remove(database.name)

    async def _create(self, name: str, *, template: str | None = None) -> TestDatabase:
        async with self._connection() as admin:
            if template is None:
                await create_database(admin, name)
            else:
                # where nothing is flushed, copying files is half the work of copying by the log
                strategy = "WAL_LOG" if self._durable else "FILE_COPY"
                await admin.execute(
                    f'CREATE DATABASE "{name}" OWNER {OWNER} TEMPLATE "{template}" '
                    f"STRATEGY {strategy}"
                )
        self._made.append(name)
        return TestDatabase(
            name=name,
            url=self._url(RUNTIME, name),
            owner_url=self._url(OWNER, name),
            admin_url=self._admin.set(database=name).render_as_string(hide_password=False),
        )

    def _url(self, role: str, database: str) -> str:
        password = None if self.server else _PASSWORD
        url: URL = self._admin.set(username=role, password=password, database=database)
        return url.render_as_string(hide_password=False)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        url = plain(self._admin.render_as_string(hide_password=False))
        connection = await asyncpg.connect(url)
        try:
            yield connection
        finally:
            await connection.close()
