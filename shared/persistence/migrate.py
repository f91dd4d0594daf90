"""Bring a database to the newest schema: ``python -m shared.persistence.migrate``.

Reads DATABASE_MIGRATION_URL, the owner role. Safe to run again and from several places at once:
an advisory lock lets one through at a time. With ``--sql FROM:TO`` it prints the SQL of those
revisions instead, for whoever applies it by hand, and needs no database.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import TextIO

from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.persistence.database import asyncpg_url

_LOCK = 0x41495F504C4154  # "AI_PLAT"


def alembic_config() -> Config:
    """Alembic's configuration; the scripts lie beside this module."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Run the migrations up to ``revision`` as the role of ``url``, all or none.

    Starts an event loop of its own: call it from a thread without one.
    """
    asyncio.run(migrate(url, revision))


async def migrate(url: str, revision: str = "head") -> None:
    """The same inside a running loop."""
    engine = create_async_engine(asyncpg_url(url))
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SET LOCAL lock_timeout = '30s'"))
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            config = alembic_config()

            def run(sync_connection: object) -> None:
                config.attributes["connection"] = sync_connection
                command.upgrade(config, revision)

            await connection.run_sync(run)
    finally:
        await engine.dispose()


def write_sql(revisions: str, output: TextIO) -> None:
    """Write what an upgrade over ``revisions``, such as ``0002:0003``, would execute."""
    config = alembic_config()
    config.output_buffer = output
    command.upgrade(config, revisions, sql=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m shared.persistence.migrate",
        description="Bring the database of DATABASE_MIGRATION_URL to the newest schema.",
    )
    parser.add_argument("--sql", metavar="FROM:TO", help="print the SQL of these revisions instead")
    revisions = parser.parse_args().sql
    if revisions is not None:
        write_sql(revisions, sys.stdout)
        return
    url = os.environ.get("DATABASE_MIGRATION_URL")
    if not url:
        sys.exit("DATABASE_MIGRATION_URL is not set: it names the owner role of the database")
    upgrade(url)


if __name__ == "__main__":
    main()
