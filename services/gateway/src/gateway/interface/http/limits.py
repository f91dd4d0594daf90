"""Bounds on what a request may bring: how much, how slowly, and no NUL in its address."""

import asyncio
from datetime import timedelta
from types import TracebackType

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.interface import errors

BODY_BYTES = 1_000_000
PICTURE_BODY_BYTES = 3_000_000
"""A picture of 2 MB in base64, with room for its caption."""
BATCH_BODY_BYTES = 5_000_000
"""A thousand jobs of five kilobytes each."""
BATCHES = "/v1/jobs/batch"
_PATIENCE = timedelta(seconds=20)


class ContentTooLarge(HTTPException):
    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body is larger than {limit} bytes", {"connection": "close"})


class BodyTooSlow(HTTPException):
    def __init__(self) -> None:
        super().__init__(408, "the body did not arrive in time", {"connection": "close"})


class Patience:
    """``with Patience(seconds):`` is ``async with asyncio.timeout(seconds):`` for the hot route, at
    a fifth of its price: it cannot be moved and makes no coroutines."""

    __slots__ = ("_cancelling", "_over", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)  # which asks for the loop again if it is not told
        assert task is not None
        self._over = False
        self._task, self._cancelling = task, task.cancelling()
        self._timer = loop.call_later(self._seconds, self._end)

    def _end(self) -> None:
        self._over = True
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Raises TimeoutError when the time was over before the block was."""
        self._timer.cancel()
        if (
            self._over
            and self._task.uncancel() <= self._cancelling
            and isinstance(error, asyncio.CancelledError)
        ):
            raise TimeoutError from error


class RequestLimits:
    """Stands before FastAPI, which would read a body of any size for as long as it takes."""

    def __init__(self, app: ASGIApp, *, patience: timedelta = _PATIENCE) -> None:
        self._app = app
        self._patience = patience.total_seconds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = _refuse(scope)
        if refused is not None:
            await errors.response(errors.of_http(refused), scope)(scope, receive, send)
            return
        await self._app(scope, _Bounded(receive, _limit(scope), self._patience), send)


class _Bounded:
    """A ``receive`` that counts the body and its time; disconnects may be awaited for ever."""

    def __init__(self, receive: Receive, limit: int, patience: float) -> None:
        self._receive = receive
        self._limit = limit
        self._seen = 0
        self._ended = False
        self._deadline = asyncio.get_running_loop().time() + patience

    async def __call__(self) -> Message:
        if self._ended:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError as error:
            raise BodyTooSlow from error
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            self._ended = not message.get("more_body", False)
            if self._seen > self._limit:
                raise ContentTooLarge(self._limit)
        return message


def _limit(scope: Scope) -> int:
    if scope["path"] == BATCHES:
        return BATCH_BODY_BYTES
    return PICTURE_BODY_BYTES if scope["path"].startswith("/simulator/api/") else BODY_BYTES


def _refuse(scope: Scope) -> HTTPException | None:
    if "\0" in scope["path"] or b"%00" in scope["query_string"] or b"\0" in scope["query_string"]:
        return HTTPException(400, "an address holds no NUL")
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value[:12]) > _limit(scope):
            return ContentTooLarge(_limit(scope))
    return None
