"""Load on an HTTP server: as much as it takes, or at a given pace; latencies with percentiles.

Requests are complete bytes, made beforehand: signing and encoding are no part of the measurement.
"""

import asyncio
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.report import percentile

_SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(slots=True, kw_only=True)
class Measured:
    """What a run saw. ``latencies`` are seconds; of a paced run from when a request was due."""

    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    errors: int = 0
    seconds: float = 0.0
    percentiles: Mapping[float, float] = field(default_factory=dict)
    """Seconds by share, where the loader keeps no single latencies."""
    loader: str = "own"

    @property
    def count(self) -> int:
        return sum(self.statuses.values())

    @property
    def accepted(self) -> int:
        return sum(count for status, count in self.statuses.items() if 200 <= status < 300)

    @property
    def rate(self) -> float:
        return self.accepted / self.seconds

    def milliseconds(self, share: float) -> float:
        """The latency that ``share`` of the answers did not exceed."""
        if share in self.percentiles:
            return self.percentiles[share] * 1000
        return percentile(sorted(self.latencies), share) * 1000


def request_bytes(
    path: str, body: bytes, headers: Sequence[tuple[str, str]] = (), *, method: str = "POST"
) -> bytes:
    """A whole HTTP/1.1 request with keep-alive."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: bench",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class _Connection(asyncio.Protocol):
    """One kept-alive connection with one request in flight."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._answer: asyncio.Future[int] | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._answer is None:
            return
        head = bytes(self._buffer[:end]).lower()
        if len(self._buffer) < end + 4 + _content_length(head):
            return
        self._buffer.clear()
        answer, self._answer = self._answer, None
        if not answer.done():
            answer.set_result(int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError())

    async def ask(self, request: bytes) -> int:
        """Send one request; returns the status of its answer."""
        if self.closed:
            raise ConnectionResetError
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer


def _content_length(head: bytes) -> int:
    _, found, rest = head.partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


class Connections:
    """A pool of kept-alive connections to one address; lost ones are opened anew."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._free: list[_Connection] = []

    async def ask(self, request: bytes) -> int:
        """One request on a free connection, or on a new one when all are busy."""
        connection = self._free.pop() if self._free else await self.open()
        while connection.closed:
            connection = self._free.pop() if self._free else await self.open()
        status = await connection.ask(request)
        self._free.append(connection)
        return status

    async def open(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, *self._address)
        return connection

    def close(self) -> None:
        for connection in self._free:
            connection.transport.close()


async def closed_loop(
    host: str, port: int, requests: Iterator[bytes], *, connections: int, seconds: float
) -> Measured:
    """As many requests as the server takes with so many connections, each waiting for its answer.

    Ends early when the requests run out.
    """
    measured = Measured()
    began = time.perf_counter()
    ends = began + seconds
    pool = Connections(host, port)

    async def one() -> None:
        connection = await pool.open()
        for request in requests:
            asked = time.perf_counter()
            try:
                status = await connection.ask(request)
            except OSError:
                measured.errors += 1
                connection = await pool.open()
                continue
            now = time.perf_counter()
            _note(measured, status, now - asked)
            if now >= ends:
                break
        connection.transport.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    measured.seconds = time.perf_counter() - began
    return measured


async def paced(
    host: str, port: int, requests: Iterator[bytes], *, rate: float, seconds: float
) -> Measured:
    """So many requests a second whether or not they are answered (open loop).

    A request's latency counts from the moment it was due, so a stalled server or loader shows.
    """
    measured = Measured()
    pool = Connections(host, port)
    began = time.perf_counter()
    running: set[asyncio.Task[None]] = set()

    async def one(request: bytes, due: float) -> None:
        try:
            status = await pool.ask(request)
        except OSError:
            measured.errors += 1
        else:
            _note(measured, status, time.perf_counter() - due)

    for due in due_times(began, rate=rate, seconds=seconds):
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(next(requests), due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    measured.seconds = time.perf_counter() - began
    pool.close()
    return measured


def due_times(began: float, *, rate: float, seconds: float) -> Iterator[float]:
    """When each request of a paced run is due: evenly spaced, the first at once."""
    return (began + number / rate for number in range(round(rate * seconds)))


def _note(measured: Measured, status: int, latency: float) -> None:
    measured.latencies.append(latency)
    measured.statuses[status] = measured.statuses.get(status, 0) + 1


async def wrk(port: int, file: Path, size: int, *, connections: int, seconds: float) -> Measured:
    """As `closed_loop`, by the wrk program: cheaper than any Python, so it leaves the server more
    of the machine. It knows whole seconds only, and keeps percentiles only."""
    argv = ["-t1", f"-c{connections}", f"-d{round(seconds)}", "--timeout", "30s"]
    process = await asyncio.create_subprocess_exec(
        "wrk", *argv, "-s", str(_SCRIPT),
        f"http://127.0.0.1:{port}/",
        env={**os.environ, "BENCH_REQUESTS": str(file), "BENCH_SIZE": str(size)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(output.decode(errors="replace"))
    told = json.loads(output.decode().strip().rpartition("\n")[2])
    accepted = told["requests"] - told["refused"]
    return Measured(
        statuses={200: accepted, 500: told["refused"]},
        errors=told["broken"],
        seconds=told["seconds"],
        percentiles={0.5: told["p50"], 0.99: told["p99"]},
        loader="wrk",
    )
