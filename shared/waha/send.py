"""Sending through WAHA. Only the messenger may import this; a contract in pyproject.toml says so.

The errors answer one question: did the message leave? ``SendRefused`` and ``NotSent`` say no for
certain; ``SendUnknown`` says that nobody knows, so that nothing may be repeated blindly.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx2
import orjson

from shared.kernel.errors import Forbidden, Invalid, Unavailable
from shared.waha.answers import native_id_of_answer
from shared.waha.client import read_at_most
from shared.waha.errors import WahaRefused
from shared.waha.identity import native_of
from shared.waha.reading import dig, name, number

_COURTESY_TIMEOUT = timedelta(seconds=12)
"""Seen and typing; WAHA itself waits ten seconds before it says that a session does not work."""
_LONGEST_RETRY_AFTER = timedelta(minutes=5)
_LARGEST_ANSWER = 4 * 1024 * 1024
_NEVER_LEFT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
    Forbidden,  # our own transport does not go to that address
)


class SendRefused(Invalid):
    """WhatsApp or WAHA will never take this message; it was not sent."""

    code = "send_refused"


class NotSent(Unavailable):
    """The message was certainly not sent; another try may succeed."""

    code = "not_sent"


class SessionNotReady(NotSent):
    """The number is not connected; ``data['status']`` says how it stands, in lower case."""

    code = "session_not_ready"


class SendUnknown(Unavailable):
    """The message may have been sent, or may not."""

    code = "unknown_outcome"


class WahaSender:
    """Sends for one session. ``client`` has the server's address and key set.

    Every method raises:
        SendRefused: certain and final.
        NotSent: certain; `SessionNotReady` where the number is not connected.
        SendUnknown: anything may have happened.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        session: str,
        *,
        call_timeout: timedelta = timedelta(seconds=30),
    ) -> None:
        self._client = client
        self._session = session
        self._call_timeout = call_timeout

    async def seen(self, chat: str, native_ids: Sequence[str] = ()) -> None:
        """Mark the customer's messages as read."""
        ids = [full_id(chat, native_id) for native_id in native_ids]
        await self._post(
            "/api/sendSeen", chat, {"messageIds": ids} if ids else {}, _COURTESY_TIMEOUT
        )

    async def start_typing(self, chat: str) -> None:
        await self._post("/api/startTyping", chat, {}, _COURTESY_TIMEOUT)

    async def stop_typing(self, chat: str) -> None:
        await self._post("/api/stopTyping", chat, {}, _COURTESY_TIMEOUT)

    async def reserve_id(self) -> str | None:
        """An id for a message to come; ``None`` where the engine or version has no such thing."""
        path = f"/api/{quote(self._session, safe='')}/new-message-id"
        try:
            answer = await self._ask("GET", path, None, _COURTESY_TIMEOUT)
        except SendRefused:
            return None
        except SendUnknown as error:
            if "status" in error.data:
                return None
            raise NotSent("no answer to a reservation") from error
        return native_of(dig(answer, "id"))

    async def send_text(
        self, chat: str, text: str, *, id: str | None = None, reply_to: str | None = None
    ) -> str | None:
        """Send text; the native id, ``None`` when WAHA accepted without naming one."""
        body = {"text": text} | _optional(id=id, reply_to=reply_to and full_id(chat, reply_to))
        return await self._send("/api/sendText", chat, body)

    async def send_image(
        self,
        chat: str,
        file: Mapping[str, str],
        *,
        caption: str | None = None,
        reply_to: str | None = None,
    ) -> str | None:
        """Send a picture; ``file`` is ``{mimetype, filename?, url | data}`` with base64 data."""
        body = {"file": dict(file)} | _optional(
            caption=caption, reply_to=reply_to and full_id(chat, reply_to)
        )
        return await self._send("/api/sendImage", chat, body)

    async def send_location(
        self,
        chat: str,
        latitude: float,
        longitude: float,
        *,
        title: str = "",
        id: str | None = None,
        reply_to: str | None = None,
    ) -> str | None:
        body = {"latitude": latitude, "longitude": longitude, "title": title} | _optional(
            id=id, reply_to=reply_to and full_id(chat, reply_to)
        )
        return await self._send("/api/sendLocation", chat, body)

    async def _send(self, path: str, chat: str, body: Mapping[str, Any]) -> str | None:
        answer = await self._post(path, chat, body, self._call_timeout)
        return native_id_of_answer(answer)

    async def _post(self, path: str, chat: str, body: Mapping[str, Any], timeout: timedelta) -> Any:
        return await self._ask(
            "POST", path, {"session": self._session, "chatId": chat} | dict(body), timeout
        )

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, timeout: timedelta
    ) -> Any:
        """One call, ended after ``timeout`` whatever the server does meanwhile."""
        content = orjson.dumps(body) if body is not None else None
        headers = {"content-type": "application/json"} if body is not None else None
        try:
            async with (
                asyncio.timeout(timeout.total_seconds()),
                self._client.stream(method, path, content=content, headers=headers) as answer,
            ):
                raw = await read_at_most(answer, _LARGEST_ANSWER)
        except _NEVER_LEFT as error:
            raise NotSent(f"WAHA: {type(error).__name__}") from error
        except (httpx2.HTTPError, TimeoutError, WahaRefused) as error:
            raise SendUnknown(f"WAHA: {type(error).__name__}") from error
        _judge(answer, _parsed(raw), path)
        return _parsed(raw)


def full_id(chat: str, native_id: str) -> str:
    """A customer's message as WAHA wants it named."""
    return native_id if "_" in native_id else f"false_{chat}_{native_id}"


def _retry_after(response: httpx2.Response) -> timedelta | None:
    seconds = number(response.headers.get("retry-after"))
    if seconds is None:
        return None
    return timedelta(seconds=min(max(seconds, 1.0), _LONGEST_RETRY_AFTER.total_seconds()))


def _optional(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value}


def _parsed(raw: bytes) -> Any:
    try:
        return orjson.loads(raw) if raw.strip() else None
    except orjson.JSONDecodeError:
        return None


def _judge(response: httpx2.Response, answer: Any, path: str) -> None:
    """Raise what a status means; the answer's text stays out of it, it echoes the message."""
    status = response.status_code
    detail = f"WAHA answered {status} to {path.rpartition('/')[2]}"
    if status < 300:
        return
    if status == 422 and dig(answer, "session|expected"):
        state = name(dig(answer, "status")) or "missing"
        raise SessionNotReady(detail, status=state.lower())
    if status in (401, 403):
        raise SessionNotReady(detail, status="unauthorized")
    if status in (408, 425, 429):
        raise NotSent(detail, retry_after=_retry_after(response))
    if status >= 500 and status != 501:
        raise SendUnknown(detail, status=status)
    raise SendRefused(detail, status=status)
