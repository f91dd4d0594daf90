"""A TCP proxy in front of a server, which does what networks do.

    async with FaultProxy.before(database.url) as proxy:
        settings = DatabaseSettings(database_url=SecretStr(proxy.address(database.url)))
        proxy.cut_when(b"COMMIT", direction="up", forward=True)

It listens on 127.0.0.1 and leads to an address or to a unix socket. One fault is on at a time and
concerns old and new connections alike; each cut happens once, then everything passes again.
``up`` is towards the server. Aborted connections end with a reset, never with an orderly end.
"""

import asyncio
import random
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, cast
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

Direction = Literal["up", "down"]

_HOST = "127.0.0.1"
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: what is unsent is dropped, and the other side gets a reset."""
_DEFAULT_PORTS = {"postgresql": 5432, "amqp": 5672, "redis": 6379, "http": 80, "https": 443}


class FaultProxy:
    """``async with FaultProxy(host, port) as proxy``; ``rng`` draws the jitter.

    ``cuts`` counts the cuts that happened, ``ends_held`` the ends that were not passed on.
    """

    def __init__(self, host: str, port: int, *, rng: random.Random | None = None) -> None:
        self._upstream: tuple[str, int] | str = (host, port)
        self._rng = rng or random.Random(0)
        self._links: set[_Link] = set()
        self._on_data: _Fault = _pass
        self._latency: tuple[float, float] = (0, 0)
        self._listening = False
        self.swallows = False
        self.holds_ends = False
        self.ends_held = 0
        self.cuts = 0

    @classmethod
    def to_socket(cls, path: str | Path, *, rng: random.Random | None = None) -> Self:
        """In front of a unix socket."""
        made = cls("", 0, rng=rng)
        made._upstream = str(path)
        return made

    @classmethod
    def before(cls, url: str, *, rng: random.Random | None = None) -> Self:
        """In front of the server that ``url`` names, PostgreSQL's and Redis' sockets too."""
        parts = urlsplit(url)
        if parts.scheme == "unix":
            return cls.to_socket(unquote(parts.path), rng=rng)
        port = parts.port or _DEFAULT_PORTS[parts.scheme.partition("+")[0]]
        host = parse_qs(parts.query).get("host", [parts.hostname or ""])[0]
        if host.startswith("/"):
            return cls.to_socket(Path(host) / f".s.PGSQL.{port}", rng=rng)
        return cls(host, port, rng=rng)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._listener = _bound(0)
        self.port: int = self._listener.getsockname()[1]
        self._listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.refuse()
        self._listener.close()
        self.reset()
        await asyncio.gather(*(link.ended.wait() for link in self._links))

    def address(self, url: str) -> str:
        """The same address by way of the proxy."""
        parts = urlsplit(url)
        if parts.scheme == "unix":
            database = parse_qs(parts.query).get("db", ["0"])[0]
            return f"redis://{_HOST}:{self.port}/{database}"
        user, at, _ = parts.netloc.rpartition("@")
        query = "&".join(p for p in parts.query.split("&") if p and not p.startswith("host="))
        netloc = f"{user}{at}{_HOST}:{self.port}"
        return urlunsplit((parts.scheme, netloc, parts.path, query, parts.fragment))

    @property
    def connections(self) -> int:
        """How many are open right now."""
        return len(self._links)

    # -- faults -----------------------------------------------------------------------------------

    def pass_through(self) -> None:
        """Pass everything on, as in the beginning. Connections that lost bytes are reset."""
        self._set(_pass)
        for link in [each for each in self._links if each.lossy]:
            link.abort()

    def refuse(self) -> None:
        """Nobody listens any more; what is connected goes on."""
        self._set(_pass)
        self._loop.remove_reader(self._listener)
        self._listener.close()
        self._listener = _bound(self.port)  # nobody else gets the port meanwhile
        self._listening = False

    def black_hole(self) -> None:
        """Bytes vanish. New connections are accepted, and nothing is ever closed."""
        self._set(_swallow, swallows=True)

    def hold_ends(self) -> None:
        """Bytes pass, also those of new connections; that a side has closed, nobody hears. Who
        then speaks to a server that has closed is reset."""
        self._set(_pass, holds_ends=True)

    def reset(self) -> None:
        """Abort what is connected; new connections pass."""
        for link in list(self._links):
            link.abort()

    def delay(self, seconds: float, jitter: float = 0) -> None:
        """Bytes arrive in order, ``seconds`` ± ``jitter`` late, in both directions."""
        self._set(_pass, latency=(seconds, jitter))

    def cut_after(self, count: int, *, direction: Direction) -> None:
        """Abort the connection on which byte ``count`` from now arrives; that one still does."""
        left = count

        def fault(link: _Link, towards: Direction, data: bytes) -> None:
            nonlocal left
            if towards != direction:
                link.pass_on(towards, data)
                return
            link.pass_on(towards, data[:left])
            left -= len(data)
            if left <= 0:
                self._cut(link)

        self._set(fault)

    def cut_when(
        self, pattern: bytes, *, direction: Direction, forward: bool, after: bytes = b""
    ) -> None:
        """Abort the connection on which ``pattern`` is seen, once ``after`` was seen on it.

        With ``forward`` it is passed on, and upwards the abort waits until the server has answered:
        the work is done, and nobody hears of it. Without it the pattern never arrives whole.
        """

        def fault(link: _Link, towards: Direction, data: bytes) -> None:
            if towards != direction:
                if link.answer_is_lost:
                    self._cut(link)
                else:
                    link.pass_on(towards, data)
                return
            found = link.find(data, pattern, after)
            if found is None or link.answer_is_lost:
                link.pass_on(towards, data)
            elif not forward:
                link.pass_on(towards, data[: max(0, found)])
                self._cut(link)
            elif direction == "up":
                link.pass_on(towards, data)
                link.answer_is_lost = True
            else:
                link.pass_on(towards, data)
                self._cut(link)

        self._set(fault)

    # -- inside -----------------------------------------------------------------------------------

    def _set(
        self,
        fault: "_Fault",
        *,
        swallows: bool = False,
        holds_ends: bool = False,
        latency: tuple[float, float] = (0, 0),
    ) -> None:
        self._on_data, self._latency = fault, latency
        self.swallows, self.holds_ends = swallows, swallows or holds_ends
        for link in self._links:
            link.forget_what_was_seen()
        if not self._listening:
            self._listen()

    def _cut(self, link: "_Link") -> None:
        self.cuts += 1
        self._set(_pass)
        link.abort()

    def _listen(self) -> None:
        self._listener.listen(1024)
        self._loop.add_reader(self._listener, self._accept)
        self._listening = True

    def _accept(self) -> None:
        with suppress(BlockingIOError, ConnectionError):
            client, _ = self._listener.accept()
            client.setblocking(False)
            self._links.add(_Link(self, client))

    async def connect(self, protocol: asyncio.Protocol) -> None:
        """Raises OSError when the server is not there."""
        if isinstance(self._upstream, str):
            await self._loop.create_unix_connection(lambda: protocol, self._upstream)
        else:
            await self._loop.create_connection(lambda: protocol, *self._upstream)

    def take(self, link: "_Link", towards: Direction, data: bytes) -> None:
        """Bytes have come; the fault decides what becomes of them. To a server that has closed
        they are an error, as a kernel answers them, also where its end was held."""
        if towards == "up" and link.server_closed and not self.swallows:
            link.abort()
        else:
            self._on_data(link, towards, data)

    def lateness(self) -> float:
        """How late a byte that came now arrives."""
        seconds, jitter = self._latency
        return max(0, seconds + self._rng.uniform(-jitter, jitter)) if seconds or jitter else 0

    def forget(self, link: "_Link") -> None:
        self._links.discard(link)


_Fault = Callable[["_Link", Direction, bytes], None]


def _pass(link: "_Link", towards: Direction, data: bytes) -> None:
    link.pass_on(towards, data)


def _swallow(link: "_Link", towards: Direction, data: bytes) -> None:
    link.lossy = True


class _Link:
    """A client's connection and ours to the server behind it."""

    def __init__(self, proxy: FaultProxy, client: socket.socket) -> None:
        self.proxy = proxy
        self.ended = asyncio.Event()
        self.lossy = False
        """Bytes, or an end, did not arrive: nothing that follows would make sense."""
        self.server_closed = False
        """It has, and nobody was told."""
        self.forget_what_was_seen()
        self._client, self._server = _End(self, "up"), _End(self, "down")
        self._lines: dict[Direction, deque[bytes | None]] = {"down": deque(), "up": deque()}
        self._finished: set[Direction] = set()
        self._aborted = False
        self._opening = asyncio.create_task(self._open(client), name="fault proxy")
        self._opening.add_done_callback(lambda _: self._forget_if_over())

    def forget_what_was_seen(self) -> None:
        self.answer_is_lost = False
        self._seen = b""
        self._is_armed = False

    def find(self, data: bytes, pattern: bytes, after: bytes) -> int | None:
        """Where in ``data`` the pattern begins, below zero if it began before; ``None``: it is not
        there yet."""
        text, start = self._seen + data, 0
        if after and not self._is_armed and (at := text.find(after)) >= 0:
            self._is_armed, start = True, at + len(after)
        awaited = pattern if self._is_armed or not after else after
        found = text.find(pattern, start) if awaited is pattern else -1
        begins = found - len(self._seen)
        self._seen = text[max(start, len(text) - len(awaited) + 1) :]
        return None if found < 0 else begins

    async def _open(self, client: socket.socket) -> None:
        """Connect both ends; a server that is not there is a reset."""
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: self._client, client)
        self._client.pause_reading()
        if self.proxy.swallows:
            self.lossy = True
        else:
            try:
                await self.proxy.connect(self._server)
            except OSError:
                self.abort()
        if self._aborted or not self._client.is_open:
            self.abort()
        self._client.resume_reading()

    def pass_on(self, towards: Direction, data: bytes | None) -> None:
        """Deliver bytes, or the end of them (``None``), when they are due."""
        line, late = self._lines[towards], self.proxy.lateness()
        line.append(data)
        if late or len(line) > 1:
            asyncio.get_running_loop().call_later(late, self._deliver, towards)
        else:
            self._deliver(towards)

    def _deliver(self, towards: Direction) -> None:
        data = self._lines[towards].popleft()
        end = self._server if towards == "up" else self._client
        if data is not None:
            end.send(data)
            return
        end.send_eof()
        self._finished.add(towards)
        if len(self._finished) == 2:
            self._client.close()
            self._server.close()

    def at_eof(self, towards: Direction) -> None:
        if self.proxy.holds_ends:
            self.lossy = True
            self.server_closed = self.server_closed or towards == "down"
            self.proxy.ends_held += 1
        else:
            self.pass_on(towards, None)

    def hold(self, receiver: "_End", *, full: bool) -> None:
        """Let the sender wait while the receiver's buffer is full."""
        source = self._client if receiver is self._server else self._server
        if full:
            source.pause_reading()
        else:
            source.resume_reading()

    def abort(self) -> None:
        self._aborted = True
        self._client.abort()
        self._server.abort()

    def end_lost(self, lost: "_End", error: Exception | None) -> None:
        """One end is gone. The other follows, unless nothing may be heard of it."""
        if self.proxy.holds_ends and not self._aborted:
            self.lossy = True
        elif error is not None:
            self.abort()
        else:
            other = self._client if lost is self._server else self._server
            other.close()
        self._forget_if_over()

    def _forget_if_over(self) -> None:
        if self._opening.done() and not self._client.is_open and not self._server.is_open:
            self.proxy.forget(self)
            self.ended.set()


class _End(asyncio.Protocol):
    """One of the two connections of a link; what it receives goes ``towards`` the other."""

    def __init__(self, link: _Link, towards: Direction) -> None:
        self._link = link
        self._towards = towards
        self._transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._link.proxy.take(self._link, self._towards, data)

    def eof_received(self) -> bool:
        self._link.at_eof(self._towards)
        return True  # the other direction may still be in use

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._link.end_lost(self, exc)

    def pause_writing(self) -> None:
        self._link.hold(self, full=True)

    def resume_writing(self) -> None:
        self._link.hold(self, full=False)

    def pause_reading(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def send_eof(self) -> None:
        if self._transport is not None:
            with suppress(OSError):  # reset by the other side, which the loop has yet to hear of
                self._transport.write_eof()

    def close(self) -> None:
        """Orderly, after what was sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is None:
            return
        opened = self._transport.get_extra_info("socket")
        if opened.family != socket.AF_UNIX:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()


def _bound(port: int) -> socket.socket:
    """A socket that has the port and does not listen: whoever connects is refused."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((_HOST, port))
    made.setblocking(False)
    return made
