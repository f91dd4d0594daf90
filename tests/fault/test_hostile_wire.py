"""Hostile bytes on the wire: what only a socket can say, said to a gateway process.

Each test carries its class's number (docs/hostile-input.md). At the end the process is the same
one, no request has cost it a second of CPU, and a good client beside it has noticed nothing.
"""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.fault.hostile.wire import Served, Wire
from tests.support.postgres import PostgresForTests
from tests.support.stack import Stack

MEGABYTE = 1_000_000


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresForTests
) -> AsyncIterator[Served]:
    folder = tmp_path_factory.mktemp("hostile")
    services = ("gateway", "commerce-agent")
    async with Stack(folder, services=services, postgres=postgres) as stack:
        yield await Served.by(stack)


@pytest_asyncio.fixture(loop_scope="session")
async def wire(served: Served) -> AsyncIterator[Wire]:
    async with served.wire() as opened:
        yield opened


def presence(wire: Wire, number: int) -> bytes:
    return wire.shop.hooks.event("presence.update", {"n": number}).body


# -- 5: bodies that never end -------------------------------------------------------------------


def doors(wire: Wire) -> dict[str, list[str]]:
    return {
        wire.shop.webhook_url: [f"X-Webhook-Hmac: {wire.sign(b'')}"],
        f"{wire.shop.base}/products": [
            f"Authorization: Bearer {wire.shop.key}",
            "Content-Type: application/json",
        ],
    }


async def test_05_chunks_without_end_are_refused_at_a_megabyte(wire: Wire) -> None:
    for door, headers in doors(wire).items():
        head = wire.request("POST", door, b"", *headers, "Transfer-Encoding: chunked", length=False)
        chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        answer = await wire.say(head, *[chunk] * 64)
        assert (answer.status, answer.closed) == (413, True)
        assert b'"content_too_large"' in answer.bytes


async def test_05_chunks_of_a_byte_are_more_frame_than_body_and_the_connection_ends(
    wire: Wire,
) -> None:
    for door, headers in doors(wire).items():
        head = wire.request("POST", door, b"", *headers, "Transfer-Encoding: chunked", length=False)
        answer = await wire.say(head, *[b"1\r\nx\r\n" * 5_000] * 40)
        assert answer.closed
        assert answer.statuses == []


async def test_05_trailers_without_end_end_the_connection(wire: Wire) -> None:
    body = presence(wire, 1)
    head = wire.request(
        "POST",
        wire.shop.webhook_url,
        b"",
        f"X-Webhook-Hmac: {wire.sign(body)}",
        "Transfer-Encoding: chunked",
        length=False,
    )
    whole = head + b"%x\r\n%s\r\n0\r\n" % (len(body), body)
    answer = await wire.say(whole, *[b"X-Trailer: " + b"a" * 50_000 + b"\r\n"] * 20)
    assert answer.closed
    assert await wire.stored(body) == 0


@pytest.mark.whole
async def test_05_a_body_that_drips_is_told_to_hurry(wire: Wire) -> None:
    """Ten seconds for a webhook, twenty for the API."""

    async def drip(door: str, headers: list[str]) -> None:
        head = wire.request("POST", door, b"", *headers, "Transfer-Encoding: chunked", length=False)
        answer = await wire.say(head, *[b"1\r\n \r\n"] * 300, pause=0.1, patience=40)
        assert answer.status == 408
        assert b'"request_timeout"' in answer.bytes

    await asyncio.gather(*(drip(door, headers) for door, headers in doors(wire).items()))


@pytest.mark.whole
async def test_05_a_request_that_never_begins_or_never_gets_past_its_headers_is_hung_up_on(
    wire: Wire,
) -> None:
    idle, slow = await asyncio.gather(
        wire.say(b"", patience=40),
        wire.say(b"GET / HTTP/1.1\r\n", *[b"X-A: b\r\n"] * 400, pause=0.1, patience=40),
    )
    assert (idle.closed, idle.bytes) == (True, b"")
    assert (slow.closed, slow.bytes) == (True, b"")


async def test_05_headers_without_end_are_refused(wire: Wire) -> None:
    begun = b"GET /health HTTP/1.1\r\nHost: x\r\n"
    for piece in (b"X-A: a\r\n" * 5_000, b"X-B: " + b"b" * 60_000, b"c" * 60_000):
        answer = await wire.say(begun, *[piece] * 60)
        assert answer.closed
        assert answer.statuses in ([431], []), "the answer may be lost with what was still coming"
    answer = await wire.say(b"GET /", *[b"a" * 60_000] * 60)
    assert answer.closed


# -- 26, 27: addresses ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/../../etc/passwd", 404),
        (b"/static/../../../etc/passwd", 404),
        (b"/static/..%2f..%2f..%2fetc%2fpasswd", 404),
        (b"/static/....//....//etc/passwd", 404),
        (b"/static\\..\\main.py", 404),
        (b"//health", 404),
        (b"/./health", 404),
        (b"/health/", 404),
        (b"/health%00", 400),
        (b"/health?%00", 400),
        (b"/%zz%4", 404),
        (b"/%c0%ae%c0%ae/", 404),
        (b"/%0d%0aSet-Cookie:%20a=b", 404),
        (b"/health%0d%0a%0d%0aHTTP/1.1 200 OK", 400),
        (b"/\xff\xfe", 400),
        (b"/a\x00b", 400),
        (b"/a b", 400),
        (b"http://evil.example/health", 200),
        (b"*", 404),
        (b"/health#fragment", 200),
        (b"/" + b"%41" * 20_000, 404),
    ],
    ids=lambda value: value if isinstance(value, int) else value[:24].decode("latin-1"),
)
async def test_26_a_target_on_the_wire(wire: Wire, target: bytes, status: int) -> None:
    said = await wire.say(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert said.status == status
    assert b"root:" not in said.bytes
    assert b"et-cookie" not in said.bytes.lower()


async def test_27_whatever_the_host_says_the_answer_is_the_same(wire: Wire) -> None:
    hosts = [
        b"", b"evil.example", b"a\tb", b"127.0.0.1@evil.example", b"[::1", b"[", b":", b"x" * 60_000,  # noqa: E501
    ]  # fmt: skip
    end = b"\r\nConnection: close\r\n\r\n"
    for host in hosts:
        said = await wire.say(b"GET /health HTTP/1.1\r\nHost: " + host + end)
        assert said.status == 200
        assert b"evil" not in said.bytes
        closed = await wire.say(b"GET /simulator/api/info HTTP/1.1\r\nHost: " + host + end)
        assert closed.status == 401
    info = b"GET /simulator/api/info HTTP/1.1\r\n"
    twice = await wire.say(info + b"Host: evil.example\r\nHost: localhost" + end)
    assert twice.status == 401
    without = await wire.say(info.strip() + end)
    assert without.status == 401


# -- 28: request smuggling -----------------------------------------------------------------------

AMBIGUOUS = {
    "both lengths, CL first": lambda rest: (
        [b"Content-Length: %d" % (5 + len(rest)), b"Transfer-Encoding: chunked"],
        b"0\r\n\r\n" + rest,
    ),
    "both lengths, TE first": lambda rest: (
        [b"Transfer-Encoding: chunked", b"Content-Length: 4"],
        b"%x\r\n" % len(rest) + rest + b"\r\n0\r\n\r\n",
    ),
    "two lengths": lambda rest: ([b"Content-Length: 0", b"Content-Length: %d" % len(rest)], rest),
    "a list of lengths": lambda rest: ([b"Content-Length: 0, %d" % len(rest)], rest),
    "a signed length": lambda rest: ([b"Content-Length: +%d" % len(rest)], rest),
    "a negative length": lambda rest: ([b"Content-Length: -1"], rest),
    "a huge length": lambda rest: ([b"Content-Length: 99999999999999999999999"], rest),
    "a length in hexadecimal": lambda rest: ([b"Content-Length: 0x5"], rest),
    "a space before the colon": lambda rest: ([b"Content-Length : 0"], rest),
    "a folded header": lambda rest: ([b"Transfer-Encoding:", b" chunked"], b"0\r\n\r\n" + rest),
    "two encodings": lambda rest: (
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"],
        b"0\r\n\r\n" + rest,
    ),
    "chunked is not the last": lambda rest: (
        [b"Transfer-Encoding: chunked, identity"],
        b"0\r\n\r\n" + rest,
    ),
    "an encoding with a space": lambda rest: (
        [b"Transfer-Encoding : chunked"],
        b"0\r\n\r\n" + rest,
    ),
    "an encoding with a control": lambda rest: (
        [b"Transfer-Encoding: \x0bchunked"],
        b"0\r\n\r\n" + rest,
    ),
    "a chunk in hexadecimal twice": lambda rest: (
        [b"Transfer-Encoding: chunked"],
        b"0x0\r\n\r\n" + rest,
    ),
    "a chunk beyond counting": lambda rest: (
        [b"Transfer-Encoding: chunked"],
        b"ffffffffffffffffff\r\n" + rest,
    ),
    "chunks with bare line feeds": lambda rest: (
        [b"Transfer-Encoding: chunked"],
        b"0\n\n" + rest,
    ),
    "a NUL in a header": lambda rest: ([b"X-A: a\x00b", b"Content-Length: 0"], rest),
}


@pytest.mark.parametrize("kind", AMBIGUOUS)
async def test_28_a_request_that_two_servers_may_read_differently_is_refused(
    wire: Wire, kind: str
) -> None:
    """And what hides in it is not done."""
    hidden = presence(wire, 4)
    headers, body = AMBIGUOUS[kind](wire.webhook(hidden))
    first = presence(wire, -1)
    head = b"POST %s HTTP/1.1\r\nHost: %s\r\nX-Webhook-Hmac: %s\r\n" % (
        wire.shop.webhook_url.encode(),
        wire.host,
        wire.sign(first).encode(),
    )
    said = await wire.say(head + b"\r\n".join(headers) + b"\r\n\r\n" + body)
    assert said.statuses in ([400], [401, 400], [401]), said.bytes[:300]
    assert said.closed
    assert await wire.stored(hidden) == 0


async def test_28_bare_line_ends_separate_nothing(wire: Wire) -> None:
    hidden = presence(wire, 5)
    for end in (b"\n", b"\r"):
        begun = b"POST /health HTTP/1.1" + end + b"Host: x" + end + b"Content-Length: 0" + end + end
        said = await wire.say(begun + wire.webhook(hidden))
        assert (said.status, said.closed) == (400, True)
    assert await wire.stored(hidden) == 0


async def test_28_two_clear_requests_on_one_connection_are_two(wire: Wire) -> None:
    """Pipelining is no smuggling: each is judged by itself, in order."""
    good, forged = presence(wire, 6), presence(wire, 7)
    said = await wire.say(
        wire.webhook(good)
        + wire.webhook(forged).replace(wire.sign(forged).encode(), b"0" * 128)
        + wire.webhook(good)
    )
    assert said.statuses == [200, 401, 200]
    assert (await wire.stored(good), await wire.stored(forged)) == (1, 0)


async def test_28_a_body_that_a_get_brings_is_no_request(wire: Wire) -> None:
    hidden = presence(wire, 8)
    said = await wire.say(wire.request("GET", "/health", wire.webhook(hidden)))
    assert said.statuses == [200]
    assert await wire.stored(hidden) == 0


# -- 29, 67: other methods, other protocols -------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "statuses"),
    [
        (b"TRACE /health HTTP/1.1", [405]),
        (b"HEAD /health HTTP/1.1", [405]),
        (b"PURGE /health HTTP/1.1", [405]),
        (b"CONNECT evil.example:443 HTTP/1.1", [400]),
        (b"get /health HTTP/1.1", [400]),
        (b"GET\x0b /health HTTP/1.1", [400]),
        (b"NOSUCH /health HTTP/1.1", [400]),
        (b"G" * 100_000 + b" /health HTTP/1.1", [400]),
        (b"GET /health HTTP/9.9", [400]),
        (b"GET /health HTTP/1.1 HTTP/1.1", [400]),
        (b"PRI * HTTP/2.0", [400]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [400]),
        (b"SSH-2.0-OpenSSH_9.9", [400]),
        (b"EHLO evil.example", [400]),
        (b"*1\r\n$8\r\nFLUSHALL", [400]),
    ],
    ids=lambda value: value[:16].decode("latin-1") if isinstance(value, bytes) else "",
)
async def test_29_a_first_line_that_is_none(wire: Wire, line: bytes, statuses: list[int]) -> None:
    said = await wire.say(line + b"\r\nHost: x\r\nConnection: close\r\nX-Secret: canary-9\r\n\r\n")
    assert said.statuses == statuses
    assert b"canary-9" not in said.bytes


async def test_67_nothing_here_speaks_websocket_whatever_the_origin(wire: Wire) -> None:
    """There are no sockets to take over; pages hear of changes by events, which ask the origin."""
    upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    frame = b"\x82\xff" + (10 * MEGABYTE).to_bytes(8, "big") + b"\0\0\0\0"
    for origin in ("https://evil.example", "null", f"http://{wire.host.decode()}"):
        for path, status in (("/ws", 404), ("/console", 200), ("/health", 200)):
            said = await wire.say(
                wire.request("GET", path, b"", *upgrade, f"Origin: {origin}", length=False),
                frame + b"\0" * MEGABYTE,
            )
            assert said.statuses[0] == status
            assert b" 101 " not in said.bytes
            assert b"sec-websocket-accept" not in said.bytes.lower()


async def test_67_a_page_of_another_origin_hears_no_events(wire: Wire) -> None:
    phone = "6281300000001@c.us"
    path = f"/simulator/api/tenants/{wire.shop.slug}/customers/{phone}/events"
    for origin in ("https://evil.example", "null", "http://localhost:1"):
        said = await wire.say(wire.request("GET", path, b"", f"Origin: {origin}", length=False))
        assert said.status == 401


async def test_67_a_reader_that_never_reads_holds_nobody_up(wire: Wire) -> None:
    """A hundred requests on one connection whose answers nobody takes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.stack.port, limit=1)
    writer.write(wire.request("GET", "/openapi.json", b"", length=False) * 100)
    try:
        for _ in range(5):
            answer = await wire.say(wire.request("GET", "/health", b"", length=False))
            assert answer.status == 200
    finally:
        writer.transport.abort()
    assert not reader.at_eof()


async def test_53_what_strangers_wrote_breaks_no_line_of_the_log(wire: Wire) -> None:
    canary = "kenari-9f3"
    for path in (f"/{canary}%0a%7b%22event%22:%22x%22%7d", f"/x?{canary}=%0d%0a"):
        await wire.say(
            wire.request(
                "GET",
                path,
                b"",
                f"User-Agent: {canary}\x1b[31m",
                f"X-Request-Id: {canary}%0a",
                length=False,
            )
        )
    lines = wire.stack.log("gateway").splitlines()
    assert lines
    for line in lines:
        assert json.loads(line)["service"] == "gateway"
        assert canary not in line
