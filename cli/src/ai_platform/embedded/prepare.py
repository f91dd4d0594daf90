"""Making a fresh database server ours: roles, the database, the newest schema."""

import asyncpg
from sqlalchemy.engine import make_url

from ai_platform.embedded.environment import DATABASE
from ai_platform.embedded.postgres import SUPERUSER, EmbeddedPostgres
from shared.persistence.migrate import migrate
from shared.persistence.roles import OWNER, create_database, create_roles


async def prepare_database(postgres: EmbeddedPostgres) -> None:
    """Make what is missing and migrate. Safe to repeat on every start."""
    url = make_url(postgres.url(SUPERUSER, "postgres")).set(drivername="postgresql")
    connection = await asyncpg.connect(url.render_as_string(hide_password=False))
    try:
        await create_roles(connection)
        await create_database(connection, DATABASE)
    finally:
        await connection.close()
    await migrate(postgres.url(OWNER, DATABASE))
