"""Meeting at a lock: a test that holds one waits until the other side stands before it."""

import asyncio
from typing import Any

from tests.support.postgres import TestDatabase


async def until_blocked(db: TestDatabase, other: "asyncio.Task[Any]") -> None:
    """Return when a session of this database waits for a lock, or the other side has ended."""
    async with asyncio.timeout(10), db.admin() as connection:
        while not other.done() and not await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            await asyncio.sleep(0.01)
