"""Bodies that are too large, too slow, or never end."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from gateway.interface.http.context import RequestContext
from gateway.interface.http.limits import BODY_BYTES, PICTURE_BODY_BYTES, RequestLimits


async def reading(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that reads the whole body, as FastAPI does."""
    size = len(await Request(scope, receive).body())
    await Response(str(size))(scope, receive, send)


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("a secret story")


async def ask(
    app: Any, *, path: str = "/x", query: bytes = b"", chunks: AsyncIterator[bytes] | None = None
) -> tuple[int, bytes]:
    sent: list[Message] = []

    async def receive() -> Message:
        if chunks is None:
            return {"type": "http.request", "body": b"", "more_body": False}
        try:
            return {"type": "http.request", "body": await anext(chunks), "more_body": True}
        except StopAsyncIteration:
            return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": query,
        "headers": [],
    }
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


async def of(size: int, chunk: int = 100_000) -> AsyncIterator[bytes]:
    while size > 0:
        yield b"x" * min(size, chunk)
        size -= chunk


async def never() -> AsyncIterator[bytes]:
    yield b"x"
    await asyncio.Event().wait()


def limited(app: Any = reading, *, patience: timedelta = timedelta(seconds=20)) -> Any:
    # Starlette's own exception middleware stands here in the real application
    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.exceptions import HTTPException

        try:
            await app(scope, receive, send)
        except HTTPException as error:
            await Response(status_code=error.status_code)(scope, receive, send)

    return RequestContext(RequestLimits(answering, patience=patience))


async def test_a_body_up_to_the_limit_is_read() -> None:
    status, body = await ask(limited(), chunks=of(BODY_BYTES))
    assert (status, body) == (200, str(BODY_BYTES).encode())


@pytest.mark.parametrize(
    ("path", "limit"), [("/v1/x", BODY_BYTES), ("/simulator/api/x", PICTURE_BODY_BYTES)]
)
async def test_one_byte_more_is_refused(path: str, limit: int) -> None:
    status, _ = await ask(limited(), path=path, chunks=of(limit + 1))
    assert status == 413


async def test_a_body_that_never_ends_is_not_waited_for() -> None:
    status, _ = await ask(limited(patience=timedelta(seconds=0.01)), chunks=never())
    assert status == 408


@pytest.mark.parametrize(("path", "query"), [("/a\0b", b""), ("/a", b"q=%00"), ("/a", b"q=\0")])
async def test_nul_in_an_address_is_refused(path: str, query: bytes) -> None:
    status, body = await ask(limited(), path=path, query=query)
    assert (status, orjson.loads(body)["code"]) == (400, "bad_request")


async def test_a_failure_is_answered_without_its_story() -> None:
    status, body = await ask(RequestContext(failing))
    assert (status, orjson.loads(body)["code"]) == (500, "internal_error")
    assert b"secret story" not in body


async def test_what_one_request_learns_is_no_others_to_see() -> None:
    shared: dict[str, Any] = {}

    async def learning(scope: Scope, receive: Receive, send: Send) -> None:
        assert "caller" not in scope["state"]
        scope["state"]["caller"] = None
        await Response("")(scope, receive, send)

    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await RequestContext(learning)({**scope, "state": shared}, receive, send)

    for _ in range(2):
        assert (await ask(with_state))[0] == 200
    assert shared == {}
