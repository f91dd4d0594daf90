"""Addresses that tenants choose never lead into our own network."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from shared.security.outbound import AddressRefused, is_public, open_client

TIMEOUT = timedelta(seconds=5)


class Listener:
    """A loopback server that notes who comes."""

    def __init__(self) -> None:
        self.visits: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 2\r\n\r\nok"
        )
        await writer.drain()
        writer.close()


@pytest_asyncio.fixture(loop_scope="session")
async def listener() -> AsyncIterator[Listener]:
    made = Listener()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    yield made
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "2001:db8::1",
    ],
)  # fmt: skip
def test_addresses_of_somebodys_inside_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::1]", "[::ffff:7f00:1]"],
)
async def test_every_spelling_of_loopback_is_refused(host: str, listener: Any) -> None:
    async with open_client((), timeout=TIMEOUT) as client:
        with pytest.raises(AddressRefused):
            await client.get(f"https://{host}:{listener.port}/")
    assert listener.visits == []


async def test_plain_http_is_for_listed_hosts_only(listener: Any) -> None:
    async with open_client((), timeout=TIMEOUT) as client:
        with pytest.raises(AddressRefused):
            await client.get("http://example.com/")


async def test_a_listed_host_is_reached_and_its_redirect_is_not_followed(listener: Any) -> None:
    allow = [f"127.0.0.1:{listener.port}"]
    async with open_client(allow, timeout=TIMEOUT, headers={"X-Api-Key": "k"}) as client:
        answer = await client.get(f"http://127.0.0.1:{listener.port}/x")
    assert answer.status_code == 302
    assert len(listener.visits) == 1
    assert b"X-Api-Key: k" in listener.visits[0]


async def test_a_listed_port_opens_no_other_port(listener: Any) -> None:
    async with open_client(["127.0.0.1:1"], timeout=TIMEOUT) as client:
        with pytest.raises(AddressRefused):
            await client.get(f"http://127.0.0.1:{listener.port}/")
    assert listener.visits == []


async def test_a_name_that_rebinds_is_connected_where_it_was_checked(
    listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is public when it is first asked and ours from then on."""
    loop = asyncio.get_running_loop()
    answers = iter(["192.0.2.1", "127.0.0.1", "127.0.0.1"])

    async def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    monkeypatch.setattr("shared.security.outbound.is_public", lambda ip: ip == "192.0.2.1")
    async with open_client((), timeout=timedelta(seconds=0.2)) as client:
        with pytest.raises(httpx2.TransportError):  # 192.0.2.1 leads nowhere
            await client.get(f"https://rebinding.example:{listener.port}/")
    assert listener.visits == []


async def test_the_environments_proxy_is_ignored(
    listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with open_client(["127.0.0.1"], timeout=TIMEOUT) as client:
        answer = await client.get(f"http://127.0.0.1:{listener.port}/")
    assert answer.status_code == 302
