import stat
from pathlib import Path

import pytest

from ai_platform.embedded.data_dir import (
    AlreadyRunning,
    DataDir,
    RunningServer,
    default_data_dir,
    runtime_dir,
    write_private,
)
from ai_platform.errors import CommandFailed

SERVER = RunningServer(
    pid=1,
    base_url="http://127.0.0.1:8000",
    database_url="postgresql://somewhere",
    database_migration_url=None,
    redis_url=None,
    demo_login=True,
)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_data_goes_to_the_users_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("HOME", "/home/sari")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_data_dir() == Path("/home/sari/.local/share/ai-platform")
    monkeypatch.setenv("XDG_DATA_HOME", "/data/sari")
    assert default_data_dir() == Path("/data/sari/ai-platform")
    monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")
    assert default_data_dir() == Path("/home/sari/.local/share/ai-platform")


def test_the_data_directory_is_for_its_user_alone(tmp_path: Path) -> None:
    DataDir(tmp_path / "deep" / "data").make()
    assert _mode(tmp_path / "deep" / "data") == 0o700


def test_a_file_in_the_way_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(CommandFailed, match="choose another --data-dir"):
        DataDir(tmp_path / "data").make()


def test_a_second_supervisor_is_refused(tmp_path: Path) -> None:
    with (
        DataDir(tmp_path).claimed(),
        pytest.raises(AlreadyRunning, match="already runs"),
        DataDir(tmp_path).claimed(),
    ):
        pass


def test_a_running_server_tells_where_it_is(tmp_path: Path) -> None:
    data_dir = DataDir(tmp_path)
    with data_dir.claimed():
        assert data_dir.running() is None
        data_dir.announce(SERVER)
        assert data_dir.running() == SERVER
        assert _mode(tmp_path / "run.json") == 0o600
    assert data_dir.running() is None


def test_what_a_killed_server_left_is_not_believed(tmp_path: Path) -> None:
    write_private(tmp_path / "run.json", SERVER.to_json())
    assert DataDir(tmp_path).running() is None
    with DataDir(tmp_path).claimed():
        assert DataDir(tmp_path).running() is None


def test_a_directory_that_is_not_there_runs_nothing(tmp_path: Path) -> None:
    assert DataDir(tmp_path / "nothing").running() is None


def test_sockets_lie_in_a_short_private_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("long" * 30)))
    path = runtime_dir(tmp_path / ("deep" * 30))
    try:
        assert len(str(path / ".s.PGSQL.5432.lock")) <= 103
        assert _mode(path) == 0o700
        assert runtime_dir(tmp_path / "another") != path
    finally:
        path.rmdir()
        runtime_dir(tmp_path / "another").rmdir()


def test_a_folder_that_somebody_else_put_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    ours = runtime_dir(tmp_path / "data")
    ours.rmdir()
    (tmp_path / "theirs").mkdir()
    ours.symlink_to(tmp_path / "theirs")
    with pytest.raises(CommandFailed, match="belongs to somebody else"):
        runtime_dir(tmp_path / "data")
