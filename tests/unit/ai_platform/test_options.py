import socket
from pathlib import Path

import pytest

from ai_platform.embedded.data_dir import DataDir
from ai_platform.embedded.options import UpOptions, free_port
from ai_platform.errors import CommandFailed


def _options(host: str, port: int = 8000) -> UpOptions:
    return UpOptions(data_dir=DataDir(Path("/nowhere")), host=host, port=port)


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("192.168.1.4", False),
        ("localhost.example.com", False),
    ],
)
def test_only_loopback_is_private(host: str, private: bool) -> None:
    assert _options(host).is_private is private


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("shop.local", "http://shop.local:8000"),
    ],
)
def test_the_base_url_is_one_that_this_machine_reaches(host: str, url: str) -> None:
    assert _options(host).base_url == url


def test_a_busy_port_is_refused_with_a_way_out() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        with pytest.raises(CommandFailed, match=rf"port {port} .*--port"):
            free_port("127.0.0.1", port)


def test_port_zero_takes_a_free_one() -> None:
    assert free_port("127.0.0.1", 0) > 0


def test_an_address_that_is_not_ours_is_refused() -> None:
    with pytest.raises(CommandFailed, match=r"192\.0\.2\.1"):
        free_port("192.0.2.1", 0)
