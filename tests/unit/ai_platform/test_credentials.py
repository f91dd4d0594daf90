import base64
import stat
from pathlib import Path

import pytest

from ai_platform.embedded import credentials
from ai_platform.embedded.credentials import DemoCredentials
from ai_platform.embedded.data_dir import DataDir
from ai_platform.errors import CommandFailed

DEMO = DemoCredentials(
    tenant_id="t", tenant_slug="kopi-braga", channel_id="c", webhook_secret="w", api_key="k"
)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_start_makes_two_keys_of_32_bytes(tmp_path: Path) -> None:
    made = credentials.load_or_generate(DataDir(tmp_path))
    assert made.master_key != made.api_key_pepper
    assert len(base64.b64decode(made.master_key)) == 32
    assert len(base64.b64decode(made.api_key_pepper)) == 32
    assert _mode(tmp_path / "credentials.json") == 0o600


def test_later_starts_find_the_same_keys_and_close_the_file(tmp_path: Path) -> None:
    made = credentials.load_or_generate(DataDir(tmp_path))
    (tmp_path / "credentials.json").chmod(0o644)
    assert credentials.load_or_generate(DataDir(tmp_path)) == made
    assert _mode(tmp_path / "credentials.json") == 0o600


def test_lost_keys_of_existing_data_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("18\n")
    with pytest.raises(CommandFailed, match="restore it from a backup"):
        credentials.load_or_generate(DataDir(tmp_path))
    assert not (tmp_path / "credentials.json").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"master_key": "x"}'])
def test_a_broken_file_is_told_in_a_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "credentials.json").write_text(content)
    with pytest.raises(CommandFailed, match="cannot be read"):
        credentials.load(DataDir(tmp_path))


def test_demo_credentials_are_kept_for_their_user_alone(tmp_path: Path) -> None:
    assert credentials.load_demo(DataDir(tmp_path)) is None
    credentials.save_demo(DataDir(tmp_path), DEMO)
    assert credentials.load_demo(DataDir(tmp_path)) == DEMO
    assert _mode(tmp_path / "demo.json") == 0o600
