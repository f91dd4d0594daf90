"""The command line as a whole: quick help, calm errors."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from shared.security.crypto import new_secret_key
from tests.support.up import COMMAND, ai_platform

_COMMANDS = (
    "up", "gateway", "llm-worker", "commerce-agent", "messenger", "migrate", "keys", "demo",
    "chat", "jobs", "queues", "dead-letters", "audit", "doctor",
)  # fmt: skip


def test_help_names_every_command_and_costs_little() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = subprocess.run([COMMAND, "--help"], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    for command in _COMMANDS:
        assert f"\n  {command} " in told.stdout
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < 0.5


def test_help_loads_no_heavy_library() -> None:
    heavy = ("sqlalchemy", "pydantic", "asyncpg", "alembic", "fastapi", "langchain_core", "PIL")
    script = f"import sys, ai_platform.main; print([m for m in {heavy} if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert told.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("demo", "info", "--data-dir", "NOWHERE"), "start it with: ai-platform up"),
        (("keys", "create", "--name", "x", "--platform", "--data-dir", "NOWHERE"), "No server"),
        (("migrate", "--data-dir", "NOWHERE"), "No server"),
        (("demo", "load", "--data-dir", "NOWHERE"), "No server"),
        (("jobs", "list", "--data-dir", "NOWHERE"), "No server"),
        (("jobs", "list", "--url", "http://127.0.0.1:9", "--key", "aip_x"), "No server answers"),
        (("jobs", "list", "--url", "http://x", "--data-dir", "NOWHERE"), "AI_PLATFORM_API_KEY"),
        (("queues", "status", "--data-dir", "NOWHERE"), "No server"),
        (("dead-letters", "list", "--data-dir", "NOWHERE"), "No server"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    told = ai_platform(*(str(tmp_path / "x") if a == "NOWHERE" else a for a in arguments))
    assert told.returncode == 1
    assert told.stderr.startswith("ai-platform: ")
    assert words in told.stderr
    assert len(told.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("up", "--port", "70000"),
        ("keys", "create", "--name", "x"),
        ("keys", "create", "--name", "x", "--tenant", "t"),
        ("keys", "create", "--name", "x", "--tenant", "t", "--platform"),
        ("keys", "create", "--name", "x", "--platform", "--scope", "*"),
        ("jobs", "submit", "halo", "--var", "x"),
        ("jobs", "batch", "/nowhere.jsonl", "--out", "x"),
        ("dead-letters", "redrive"),
        ("dead-letters", "redrive", "no-id"),
        ("queues", "reset-breaker"),
        ("queues", "reset-breaker", "x", "--all"),
    ],
)
def test_a_command_that_is_typed_wrong_exits_with_2(arguments: tuple[str, ...]) -> None:
    told = ai_platform(*arguments)
    assert told.returncode == 2
    assert "Traceback" not in told.stderr


def test_a_setting_that_is_wrong_is_named_without_its_value(tmp_path: Path) -> None:
    told = ai_platform("doctor", "--data-dir", str(tmp_path), env={"DATABASE_POOL_SIZE": "geheim"})
    assert told.returncode == 1
    assert "DATABASE_POOL_SIZE" in told.stdout
    assert "geheim" not in told.stdout + told.stderr


@pytest.mark.parametrize("url", ["postgresql://app:geheim@127.0.0.1:9/x", "geheim, no address"])
@pytest.mark.parametrize(
    "command", [("keys", "create", "--name", "x", "--platform"), ("migrate",), ("demo", "load")]
)
def test_a_database_that_cannot_be_had_is_one_sentence(
    command: tuple[str, ...], url: str, tmp_path: Path
) -> None:
    key = new_secret_key()
    told = ai_platform(
        *command, "--data-dir", str(tmp_path),
        env={
            "DATABASE_URL": url,
            "DATABASE_MIGRATION_URL": url,
            "MASTER_KEY": key,
            "API_KEY_PEPPER": key,
        },
    )  # fmt: skip
    assert told.returncode == 1
    assert told.stderr.startswith("ai-platform: ")
    assert len(told.stderr.splitlines()) == 1
    assert "geheim" not in told.stderr


def test_the_doctor_survives_an_address_that_is_none(tmp_path: Path) -> None:
    told = ai_platform(
        "doctor", "--port", "0", "--data-dir", str(tmp_path),
        env={"DATABASE_URL": "geheim, no address"},
    )  # fmt: skip
    assert told.returncode == 1
    assert "failed  Database: DATABASE_URL does not connect" in told.stdout
    assert "geheim" not in told.stdout + told.stderr
