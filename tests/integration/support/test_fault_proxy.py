"""Each fault does what it says, before a server that says everything back."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.fault_proxy import Direction, FaultProxy

PATIENCE = 5.0
SILENCE = 0.15


class Echo:
    """Says back what it hears; ``heard`` keeps all of it, ``ends`` how connections ended."""

    def __init__(self) -> None:
        self.heard = b""
        self.ends: asyncio.Queue[str] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while data := await reader.read(65536):
                self.heard += data
                writer.write(data)
                await writer.drain()
            self.ends.put_nowait("closed")
        except ConnectionError:
            self.ends.put_nowait("reset")
        finally:
            writer.close()


class Client:
    """A connection by way of the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def says(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hears(self, count: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(count)

    async def rest(self) -> bytes:
        """What comes before the reset; anything but a reset fails."""
        heard = b""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    data = await self.reader.read(65536)
                except ConnectionResetError:
                    return heard
                assert data, "an orderly end"
                heard += data

    async def hears_nothing(self) -> bool:
        try:
            async with asyncio.timeout(SILENCE):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest_asyncio.fixture(params=["tcp", "unix"], loop_scope="session")
async def proxy(
    request: pytest.FixtureRequest, echo: Echo, tmp_path: Path
) -> AsyncIterator[FaultProxy]:
    path = tmp_path / "echo"
    if request.param == "unix":
        server = await asyncio.start_unix_server(echo.serve, path)
        made = FaultProxy.to_socket(path)
    else:
        server = await asyncio.start_server(echo.serve, "127.0.0.1")
        made = FaultProxy(*server.sockets[0].getsockname())
    async with server, made:
        yield made
    assert made.connections == 0


async def test_bytes_pass_both_ways_unchanged(proxy: FaultProxy, echo: Echo) -> None:
    said = random.Random(3).randbytes(3_000_000)
    async with connected(proxy) as client:
        saying = asyncio.create_task(client.says(said))
        assert await client.hears(len(said)) == said
        await saying
    assert await asyncio.wait_for(echo.ends.get(), PATIENCE) == "closed"


async def test_an_end_of_one_direction_leaves_the_other(proxy: FaultProxy, echo: Echo) -> None:
    async with connected(proxy) as client:
        client.writer.write(b"halo")
        client.writer.write_eof()
        assert await asyncio.wait_for(client.reader.read(), PATIENCE) == b"halo"


async def test_a_server_that_is_away_is_a_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with FaultProxy("127.0.0.1", port) as proxy, connected(proxy) as client:
        assert await client.rest() == b""


async def test_refuse_keeps_old_connections_and_takes_no_new_ones(proxy: FaultProxy) -> None:
    async with connected(proxy) as old:
        await old.says(b"a")
        assert await old.hears(1) == b"a"
        proxy.refuse()
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", proxy.port)
        await old.says(b"b")
        assert await old.hears(1) == b"b"

        proxy.pass_through()
        async with connected(proxy) as new:
            await new.says(b"c")
            assert await new.hears(1) == b"c"


async def test_a_black_hole_takes_all_and_says_nothing(proxy: FaultProxy, echo: Echo) -> None:
    async with connected(proxy) as old:
        await old.says(b"a")
        assert await old.hears(1) == b"a"
        proxy.black_hole()
        async with connected(proxy) as new:
            await old.says(b"x" * 5_000_000)
            await new.says(b"y")
            assert await old.hears_nothing()
            assert await new.hears_nothing()
            assert echo.heard == b"a"

            proxy.pass_through()
            assert (await old.rest(), await new.rest()) == (b"", b"")
    async with connected(proxy) as after:
        await after.says(b"b")
        assert await after.hears(1) == b"b"
    assert echo.heard == b"ab"


async def test_a_black_hole_hides_that_the_server_has_closed(proxy: FaultProxy, echo: Echo) -> None:
    async with connected(proxy) as client:
        await client.says(b"a")
        assert await client.hears(1) == b"a"
        proxy.black_hole()
        echo.hang_up()
        assert await client.hears_nothing()


async def test_an_end_that_is_held_is_told_to_whoever_speaks(proxy: FaultProxy, echo: Echo) -> None:
    async with connected(proxy) as client:
        await client.says(b"a")
        assert await client.hears(1) == b"a"
        proxy.hold_ends()
        echo.hang_up()
        assert await client.hears_nothing()
        assert proxy.ends_held == 1
        await client.says(b"b")
        assert await client.rest() == b""


async def test_a_silent_connection_survives_a_black_hole(proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        await client.says(b"a")
        assert await client.hears(1) == b"a"
        proxy.black_hole()
        proxy.pass_through()
        await client.says(b"b")
        assert await client.hears(1) == b"b"


async def test_reset_aborts_both_ends_and_lets_new_connections_pass(
    proxy: FaultProxy, echo: Echo
) -> None:
    async with connected(proxy) as client:
        await client.says(b"a")
        assert await client.hears(1) == b"a"
        proxy.reset()
        assert await client.rest() == b""
    assert await asyncio.wait_for(echo.ends.get(), PATIENCE) in ("reset", "closed")
    async with connected(proxy) as again:
        await again.says(b"b")
        assert await again.hears(1) == b"b"


async def test_delayed_bytes_come_late_and_in_order(proxy: FaultProxy) -> None:
    loop = asyncio.get_running_loop()
    async with connected(proxy) as client:
        await client.says(b".")
        await client.hears(1)
        proxy.delay(0.05, jitter=0.04)
        started = loop.time()
        said = bytes(range(200))
        for byte in said:
            await client.says(bytes([byte]))
            await asyncio.sleep(0)
        assert await client.hears(200) == said
        assert 0.02 <= loop.time() - started < 2


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_cut_lets_exactly_so_many_bytes_arrive(
    direction: Direction, proxy: FaultProxy, echo: Echo
) -> None:
    async with connected(proxy) as client:
        await client.says(b"before")
        assert await client.hears(6) == b"before"
        proxy.cut_after(7, direction=direction)
        await client.says(b"1234")
        assert await client.hears(4) == b"1234"
        await client.says(b"5678")
        left = await client.rest()
    await asyncio.wait_for(echo.ends.get(), PATIENCE)
    if direction == "up":
        assert echo.heard == b"before1234567"
    else:
        assert left == b"567"
    assert proxy.cuts == 1

    async with connected(proxy) as again:  # once is all
        await again.says(b"123456789")
        assert await again.hears(9) == b"123456789"


@pytest.mark.parametrize("split", [False, True], ids=["whole", "in two pieces"])
async def test_a_pattern_that_may_not_pass_never_arrives(
    split: bool, proxy: FaultProxy, echo: Echo
) -> None:
    proxy.cut_when(b"COMMIT", direction="up", forward=False)
    async with connected(proxy) as client:
        await client.says(b"COMM")
        assert await client.hears(4) == b"COMM"  # not the pattern yet
        await client.says(b"IT;" if split else b" or COMMIT;")
        assert await client.rest() == b""
    await asyncio.wait_for(echo.ends.get(), PATIENCE)
    assert echo.heard == (b"COMM" if split else b"COMM or ")
    assert proxy.cuts == 1


@pytest.mark.parametrize("split", [False, True], ids=["whole", "byte by byte"])
async def test_a_pattern_may_count_only_after_another(
    split: bool, proxy: FaultProxy, echo: Echo
) -> None:
    proxy.cut_when(b"COMMIT", after=b"INSERT", direction="up", forward=False)
    said = b"COMMIT; INSERT; COMMI;"
    async with connected(proxy) as client, connected(proxy) as other:
        for part in [said[n : n + 1] for n in range(len(said))] if split else [said]:
            await client.says(part)
            assert await client.hears(len(part)) == part
        await other.says(b"COMMIT")
        assert await other.hears(6) == b"COMMIT"
        await client.says(b"COMMIT;")
        assert await client.rest() == b""
        await other.says(b"?")
        assert await other.hears(1) == b"?"
    assert proxy.cuts == 1


async def test_a_pattern_that_passes_is_done_and_never_answered(
    proxy: FaultProxy, echo: Echo
) -> None:
    proxy.cut_when(b"COMMIT", direction="up", forward=True)
    async with connected(proxy) as client:
        await client.says(b"COM")
        assert await client.hears(3) == b"COM"
        await client.says(b"MIT; and the rest")
        assert await client.rest() == b""
    assert echo.heard == b"COMMIT; and the rest"
    assert proxy.cuts == 1


@pytest.mark.parametrize(("forward", "heard"), [(True, b"a, done."), (False, b"a, ")])
async def test_a_pattern_in_the_answer_cuts_with_or_without_it(
    forward: bool, heard: bytes, proxy: FaultProxy
) -> None:
    proxy.cut_when(b"done", direction="down", forward=forward)
    async with connected(proxy) as client:
        await client.says(b"a, done.")
        assert await client.rest() == heard


@pytest.mark.parametrize(
    ("url", "through"),
    [
        (
            "postgresql+asyncpg://platform_app@/shop?host=/tmp/pg",
            "postgresql+asyncpg://platform_app@127.0.0.1:{port}/shop",
        ),
        (
            "postgresql://app:pw@db:6543/shop?ssl=disable",
            "postgresql://app:pw@127.0.0.1:{port}/shop?ssl=disable",
        ),
        ("amqp://guest:guest@broker/", "amqp://guest:guest@127.0.0.1:{port}/"),
        ("unix:///tmp/valkey.sock?db=2", "redis://127.0.0.1:{port}/2"),
        ("http://127.0.0.1:3000/v1", "http://127.0.0.1:{port}/v1"),
    ],
)
async def test_addresses_lead_through_the_proxy(url: str, through: str) -> None:
    async with FaultProxy.before(url) as proxy:
        assert proxy.address(url) == through.format(port=proxy.port)
