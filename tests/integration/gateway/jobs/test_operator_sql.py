"""What the guide tells operators to type, typed."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.kernel.ids import new_id
from shared.persistence.database import Database, SystemRole, connection, system_transaction
from tests.support import rows
from tests.support.postgres import TestDatabase

WITH_RETRIES = """
SELECT id, status, retry_count, next_retry_at, error
FROM jobs
WHERE status IN ('RETRYING', 'FAILED')
ORDER BY created_at DESC;
"""
SCHEDULED = """
SELECT id, retry_count, next_retry_at
FROM jobs
WHERE next_retry_at IS NOT NULL
ORDER BY next_retry_at;
"""


def test_the_guide_says_what_is_typed_here() -> None:
    guide = Path("docs/guide.md").read_text()
    assert WITH_RETRIES in guide
    assert SCHEDULED in guide


async def _ask(database: Database, query: str) -> list[Any]:
    """As an operator does: with the runtime role's login, and the role for this one transaction."""
    async with connection(database.engine) as session:
        await session.execute(text("SET LOCAL ROLE platform_operator"))
        return [*(await session.execute(text(query))).all()]


async def test_the_guides_two_queries_show_every_tenants_trouble(
    database: Database, test_database: TestDatabase
) -> None:
    db = test_database
    made = {}
    for name in ("waits", "waits_longer", "failed", "queued"):
        made[name] = new_id()
        tenant = await rows.a_tenant(db)
        await db.execute(
            "INSERT INTO jobs (tenant_id, id, prompt, config_name, template_name, deadline_at)"
            " VALUES ($1, $2, 'Rahasia', 'offline', 't', '2030-01-01')",
            tenant,
            made[name],
        )
        if name != "queued":
            await db.execute("UPDATE jobs SET status = 'PROCESSING' WHERE id = $1", made[name])
    await db.execute(
        "UPDATE jobs SET status = 'RETRYING', retry_count = 2, next_retry_at = '2029-01-01',"
        " error = 'The provider is busy.', created_at = '2026-01-02' WHERE id = $1",
        made["waits"],
    )
    await db.execute(
        "UPDATE jobs SET status = 'RETRYING', next_retry_at = '2029-01-02',"
        " error = 'The circuit is open.', created_at = '2026-01-03' WHERE id = $1",
        made["waits_longer"],
    )
    await db.execute(
        "UPDATE jobs SET status = 'FAILED', error_code = 'x', error = 'X.',"
        " finished_at = '2026-02-01', created_at = '2026-01-01' WHERE id = $1",
        made["failed"],
    )

    assert [
        (row.id, row.status, row.retry_count, row.error)
        for row in await _ask(database, WITH_RETRIES)
    ] == [
        (made["waits_longer"], "RETRYING", 0, "The circuit is open."),
        (made["waits"], "RETRYING", 2, "The provider is busy."),
        (made["failed"], "FAILED", 0, "X."),
    ]
    assert [(row.id, row.retry_count) for row in await _ask(database, SCHEDULED)] == [
        (made["waits"], 2),
        (made["waits_longer"], 0),
    ]


@pytest.mark.parametrize("column", ["prompt", "result", "context", "metadata", "callback_url"])
async def test_nobody_reads_prompts_and_answers_across_tenants(
    database: Database, column: str
) -> None:
    for role in (SystemRole.OPERATOR, SystemRole.SWEEPER):
        async with system_transaction(database, role) as session:
            with pytest.raises(DBAPIError, match="permission denied"):
                async with session.begin_nested():
                    await session.execute(text(f"SELECT {column} FROM jobs"))


async def test_an_operator_changes_no_job(database: Database) -> None:
    async with system_transaction(database, SystemRole.OPERATOR) as session:
        for statement in ("UPDATE jobs SET error = 'x'", "DELETE FROM jobs"):
            with pytest.raises(DBAPIError, match="permission denied"):
                async with session.begin_nested():
                    await session.execute(text(statement))


async def test_the_sweeper_sees_what_it_sweeps(database: Database) -> None:
    async with system_transaction(database, SystemRole.SWEEPER) as session:
        seen = await session.execute(
            text("SELECT tenant_id, id, status, run, deadline_at FROM jobs")
        )
        assert seen.all() == []
