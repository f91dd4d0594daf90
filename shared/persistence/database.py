"""The connection to PostgreSQL as the runtime role, and short transactions across tenants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.config.settings import DatabaseSettings
from shared.kernel.errors import Unavailable
from shared.messaging.port import Queue, Waker
from shared.persistence.begun import BeginningConnection

DRIVER_ERRORS: Final = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What a raw connection raises whose server has gone. The last one after the server took its leave
and before the stream has ended: until then the connection does not say that it is closed."""

_GOODBYE_SECONDS = 2.0
_STATEMENTS_KEPT = 300
"""Prepared per connection: more than a process has, catalogue searches of any length included."""


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""

    code = "database_unavailable"


class CommitUnclear(DatabaseUnavailable):
    """The connection broke during COMMIT: whether it happened, only another look can tell."""


class Contended(Unavailable):
    """Another transaction was in the way and this one is undone; the same again will do."""

    code = "contended"


class UnsafeRole(Exception):
    """The runtime role could walk around row-level security."""


class SystemRole(StrEnum):
    """The four roles that see across tenants, each only what its work needs."""

    INGEST = "platform_ingest"
    RELAY = "platform_relay"
    SWEEPER = "platform_sweeper"
    OPERATOR = "platform_operator"


class NobodyToWake:
    """A waker for processes without workers: rows are found by the next poll."""

    def wake(self, queue: Queue) -> None:
        return None


class Database:
    """An engine of the runtime role. ``waker`` is told which queues got work with each commit."""

    def __init__(self, engine: AsyncEngine, waker: Waker | None = None) -> None:
        self.engine = engine
        self.waker: Waker = waker or NobodyToWake()

    @property
    def dsn(self) -> str:
        """The address as asyncpg takes it, for the few raw connections outside the pool."""
        url = self.engine.url.set(drivername="postgresql")
        return url.render_as_string(hide_password=False)


def asyncpg_url(url: str) -> str:
    """The same address with the driver named, whatever form the operator wrote."""
    return make_url(url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)


@asynccontextmanager
async def open_database(
    settings: DatabaseSettings, waker: Waker | None = None
) -> AsyncIterator[Database]:
    """Open the pool, refuse a role that row-level security would not bind, close at the end.

    Raises:
        UnsafeRole: superuser, BYPASSRLS, owner of our tables or member of their owner.
        DatabaseUnavailable: no answer.
    """
    if settings.database_url is None:
        raise DatabaseUnavailable("DATABASE_URL is not set")
    engine = make_engine(
        settings.database_url.get_secret_value(),
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        pool_recycle=int(settings.database_pool_recycle_seconds.total_seconds()),
        pool_timeout=settings.database_pool_timeout_seconds.total_seconds(),
    )
    try:
        await _refuse_unsafe_role(engine)
        yield Database(engine, waker)
    finally:
        try:
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await engine.dispose()
        except TimeoutError:  # nobody is there to say it to
            await engine.dispose(close=False)


def make_engine(url: str, **pool: Any) -> AsyncEngine:
    """An engine whose connections `connection` can begin. Nothing is connected yet."""
    return create_async_engine(
        asyncpg_url(url),
        connect_args={
            "connection_class": BeginningConnection,
            "prepared_statement_cache_size": _STATEMENTS_KEPT,
        },
        json_serializer=_to_json,
        json_deserializer=orjson.loads,
        hide_parameters=True,
        **pool,
    )


def _to_json(value: Any) -> str:
    # asyncpg's UUIDs are a subclass, which orjson leaves to us
    return orjson.dumps(value, default=_plain).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, UUID | StrEnum):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


_ROLE = text(
    """
    SELECT r.rolname, r.rolsuper OR r.rolbypassrls AS unbound,
           EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
                     AND pg_has_role(r.rolname, c.relowner, 'MEMBER')) AS owns
    FROM pg_roles r WHERE r.rolname = current_user
    """
)


async def _refuse_unsafe_role(engine: AsyncEngine) -> None:
    async with connection(engine) as session:
        role = (await session.execute(_ROLE)).one()
    if role.unbound or role.owns:
        raise UnsafeRole(
            f"DATABASE_URL connects as {role.rolname}, which row-level security does not bind; "
            "use the runtime role (platform_app) and keep the owner for DATABASE_MIGRATION_URL"
        )


@asynccontextmanager
async def connection(engine: AsyncEngine, settings: str = "") -> AsyncIterator[AsyncConnection]:
    """A pooled connection inside a transaction that is rolled back unless committed.

    ``settings`` are the ``SET LOCAL`` commands that it begins with; they are ours, never a
    caller's text. A connection whose command was cancelled is thrown away: its answer must never
    reach the next user of the pool. Raises `DatabaseUnavailable` when the server is away and
    `Contended` when another transaction was in the way.
    """
    try:
        opened = await _begin(engine, settings)
    except (OSError, DBAPIError, PoolTimeout) as error:
        raise DatabaseUnavailable from error
    try:
        yield opened
    except BaseException as error:
        if not isinstance(error, Exception):
            await opened.invalidate()
        if is_disconnect(error):
            raise DatabaseUnavailable from error
        if is_contention(error):
            raise Contended from error
        raise
    finally:
        await _give_back(opened)


async def _begin(engine: AsyncEngine, settings: str) -> AsyncConnection:
    """A connection with a transaction begun; those of the pool that died are thrown away."""
    while True:
        opened = await engine.connect()
        driver = await _driver(opened)
        had_worked = driver.was_used
        try:
            await driver.begin(settings)
        except BaseException as error:
            await opened.invalidate()
            await opened.close()
            took_leave = isinstance(error, asyncpg.InternalClientError)
            if not (took_leave or (driver.is_closed() and isinstance(error, DRIVER_ERRORS))):
                raise
            if not had_worked:
                raise DatabaseUnavailable from error
        else:
            return opened


async def _give_back(opened: AsyncConnection) -> None:
    if not opened.invalidated and (await _driver(opened)).is_unused:
        await opened.invalidate()  # nothing will end the transaction that was begun
    await opened.close()


async def _driver(opened: AsyncConnection) -> BeginningConnection:
    driver = (await opened.get_raw_connection()).driver_connection
    assert isinstance(driver, BeginningConnection)
    return driver


async def commit(opened: AsyncConnection) -> None:
    """Commit; raises `CommitUnclear` when the answer never came."""
    try:
        await opened.commit()
    except (OSError, DBAPIError) as error:
        if is_disconnect(error):
            raise CommitUnclear from error
        raise


def is_disconnect(error: BaseException) -> bool:
    """Whether the server went away, rather than refused what we asked."""
    if isinstance(error, DBAPIError):
        sqlstate = getattr(error.orig, "sqlstate", None) or ""
        return (
            error.connection_invalidated
            or (isinstance(error, InterfaceError | OperationalError) and not sqlstate)
            or sqlstate[:2] in ("08", "57")
            or sqlstate == "25006"  # a standby, or an operator's read-only switch
            or sqlstate == "25P03"  # we stood still in the middle of it
            or isinstance(error.orig, AsyncAdapt_asyncpg_dbapi.InternalClientError)
        )
    return isinstance(error, ConnectionError)


def is_contention(error: BaseException) -> bool:
    """Whether the transaction lost against another one: serialization, deadlock, lock timeout."""
    sqlstate = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return sqlstate in ("40001", "40P01", "55P03")


@asynccontextmanager
async def system_transaction(
    database: Database, role: SystemRole, first: str = ""
) -> AsyncIterator[AsyncConnection]:
    """A short transaction under one of the cross-tenant roles; commits at the end.

    ``first`` is a statement of ours that travels with its beginning, such as taking a lock.
    """
    async with connection(database.engine, f"SET LOCAL ROLE {role.value}; {first}") as opened:
        yield opened
        await commit(opened)


async def database_now(opened: AsyncConnection) -> Any:
    """The moment by the database's clock, for comparing with rows."""
    return (await opened.execute(text("SELECT platform_now()"))).scalar_one()
