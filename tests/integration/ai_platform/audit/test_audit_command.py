"""``ai-platform audit`` on the database that the environment names."""

import asyncio
import json
from pathlib import Path

from typer.testing import CliRunner

from ai_platform.main import cli
from tests.integration.ai_platform.audit.story import Story, tell
from tests.support.postgres import PostgresForTests, TestDatabase


async def _audit(db: TestDatabase, tmp_path: Path, *options: str, **env: str) -> tuple[int, str]:
    """In this process: what starting one costs is measured elsewhere."""
    urls = {"DATABASE_URL": db.url, "DATABASE_MIGRATION_URL": db.owner_url, "COLUMNS": "200"}
    told = await asyncio.to_thread(
        CliRunner().invoke,
        cli,
        ["audit", *options, "--data-dir", str(tmp_path)],
        env=urls | env,
    )
    return told.exit_code, told.output


async def _two_stories(db: TestDatabase) -> tuple[Story, Story, str]:
    """The second has work that lies about for ten minutes."""
    good, bad = await tell(db), await tell(db)
    row = await bad.work("channel.repair", "x", available_at=bad.at(-600))
    return good, bad, f"queue:{row}"


async def _slug(story: Story) -> str:
    return str(await story.db.fetchval("SELECT slug FROM tenants WHERE id = $1", story.tenant))


async def test_a_sound_database_ends_with_0(test_database: TestDatabase, tmp_path: Path) -> None:
    await tell(test_database)
    code, told = await _audit(test_database, tmp_path)
    assert (code, "Every promise is kept" in told, "1 tenant" in told) == (0, True, True), told


async def test_a_broken_promise_is_shown_with_its_rows_and_ends_with_1(
    test_database: TestDatabase, tmp_path: Path
) -> None:
    _, bad, row = await _two_stories(test_database)
    code, told = await _audit(test_database, tmp_path)
    assert code == 1, told
    for part in ("queue-row-open", await _slug(bad), row, "channel.repair on crm_tasks"):
        assert part in told
    assert "docs/audit.md" in told


async def test_programs_get_the_same_as_json(test_database: TestDatabase, tmp_path: Path) -> None:
    _, bad, row = await _two_stories(test_database)
    code, told = await _audit(test_database, tmp_path, "--json")
    report = json.loads(told)
    (violation,) = report["violations"]
    assert (code, report["clean"], report["tenants"]) == (1, False, 2)
    assert violation["promise"].startswith("Every queue row that is due")
    del violation["promise"]
    assert violation == {
        "rule": "queue-row-open",
        "tenant_id": str(bad.tenant),
        "tenant": await _slug(bad),
        "ids": [row],
        "detail": "channel.repair on crm_tasks, 0 failed attempts",
    }


async def test_one_tenant_is_looked_at_alone(test_database: TestDatabase, tmp_path: Path) -> None:
    good, bad, _ = await _two_stories(test_database)
    assert (await _audit(test_database, tmp_path, "--tenant", await _slug(good)))[0] == 0
    assert (await _audit(test_database, tmp_path, "--tenant", str(bad.tenant)))[0] == 1


async def test_what_cannot_be_audited_ends_with_2_and_one_sentence(
    test_database: TestDatabase, postgres: PostgresForTests, tmp_path: Path
) -> None:
    """Above all: a role that sees no rows must not report that all is well."""
    empty = await postgres.database(migrated=False)
    try:
        for options, env, reason in (
            (("--tenant", "nobody"), {}, "There is no tenant nobody"),
            ((), {"DATABASE_MIGRATION_URL": test_database.url}, "is not the database's owner"),
            ((), {"DATABASE_MIGRATION_URL": ""}, "DATABASE_MIGRATION_URL is not set"),
            ((), {"DATABASE_MIGRATION_URL": empty.owner_url}, "run ai-platform migrate"),
            (
                (),
                {"DATABASE_MIGRATION_URL": "postgresql://x:geheim@127.0.0.1:9/x"},
                "DATABASE_MIGRATION_URL does not connect (ConnectionRefusedError)",
            ),
        ):
            code, told = await _audit(test_database, tmp_path, *options, **env)
            assert (code, reason in told, len(told.splitlines())) == (2, True, 1), told
            assert "geheim" not in told
    finally:
        await postgres.drop(empty)
