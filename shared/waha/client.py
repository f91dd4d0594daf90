"""WAHA's HTTP interface, apart from sending: sessions, identities, history, files.

Engines differ in the shape of their answers; what is missing reads as ``None``. Never called while
a database transaction is open.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx2
import orjson

from shared.waha.addresses import ChatAddress, is_chat, normalise, phone_of
from shared.waha.errors import WahaRefused, WahaUnauthorized, WahaUnavailable
from shared.waha.reading import as_dict, dig, moment, name

_PAGE = 100
_MOST_PAGES = 20
_LARGEST_ANSWER = 16 * 1024 * 1024
_LARGEST_FILE = 32 * 1024 * 1024
_LONGEST_CALL = timedelta(seconds=30)
"""For a whole answer: the client's own limit is for each wait, and a server that sends a byte now
and then would keep a call alive for ever."""


@dataclass(frozen=True, slots=True)
class SessionState:
    """A WAHA session as it stands."""

    status: str
    """Lower case, as in `SessionStatusEvent`; ``missing`` when WAHA knows no such session."""
    phone: str | None
    """The connected number in E.164."""
    engine: str | None

    @property
    def working(self) -> bool:
        return self.status == "working"


class WahaClient:
    """One session of one server. ``client`` has the server's address and key set.

    Every method raises:
        WahaUnavailable: no answer, or one that makes no sense.
        WahaRefused: an answer that says no.
        WahaUnauthorized: the key is not accepted.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        session: str,
        *,
        longest_call: timedelta = _LONGEST_CALL,
    ) -> None:
        self._client = client
        self._longest_call = longest_call.total_seconds()
        self.session = session
        self._session = quote(session, safe="")

    async def status(self) -> SessionState:
        """How the session is doing."""
        answer = await self._find(f"/api/sessions/{self._session}")
        if answer is None:
            return SessionState("missing", None, None)
        me = normalise(dig(answer, "me", "id"))
        return SessionState(
            status=(name(dig(answer, "status")) or "unknown").lower(),
            phone=phone_of(me) if me else None,
            engine=name(dig(answer, "engine", "engine")),
        )

    async def qr(self) -> bytes:
        """The code to scan, as PNG. `WahaRefused` unless the session waits for it."""
        return await self._bytes(
            "GET", f"/api/{self._session}/auth/qr", _LARGEST_ANSWER, {"accept": "image/png"}
        )

    async def config(self) -> dict[str, Any] | None:
        """What the session is configured with; ``None`` when WAHA knows no such session."""
        answer = await self._find(f"/api/sessions/{self._session}")
        return None if answer is None else as_dict(dig(answer, "config"))

    async def create(self, config: Mapping[str, Any]) -> None:
        """Make the session and start it. `WahaRefused` with status 422 when there is one."""
        body = {"name": self.session, "start": True, "config": config}
        await self._json("POST", "/api/sessions", json=body)

    async def replace_config(self, config: Mapping[str, Any]) -> None:
        """Configure the session anew; one that runs is restarted, its login stays."""
        await self._json("PUT", f"/api/sessions/{self._session}", json={"config": config})

    async def start(self) -> None:
        """Start the session; one that runs stays as it is."""
        await self._json("POST", f"/api/sessions/{self._session}/start")

    async def restart(self) -> None:
        """Stop and start the session; it keeps its login."""
        await self._json("POST", f"/api/sessions/{self._session}/restart")

    async def phone_of_lid(self, lid: str) -> ChatAddress | None:
        """The ``…@c.us`` address behind a ``…@lid``, if WAHA knows it."""
        answer = await self._find(f"/api/{self._session}/lids/{quote(lid, safe='')}")
        found = normalise(dig(answer, "pn"))
        return found if found and phone_of(found) else None

    async def chats(self, since: datetime) -> list[ChatAddress]:
        """The chats with one person in which something happened since then, latest first."""
        found: list[ChatAddress] = []
        for page in range(_MOST_PAGES):
            answer = await self._list(
                f"/api/{self._session}/chats/overview", {"limit": _PAGE, "offset": page * _PAGE}
            )
            for chat in answer:
                address, at = normalise(chat.get("id")), _last_moment(chat)
                if address and is_chat(address) and (at is None or at >= since):
                    found.append(address)
            if len(answer) < _PAGE or _all_older(answer, since):
                break
        return list(dict.fromkeys(found))

    async def history(
        self, chat: str, since: datetime, *, own_only: bool = False
    ) -> list[dict[str, Any]]:
        """The chat's messages since then, oldest first, without their files.

        They read with `shared.waha.parsing.parse_message`.
        """
        query: dict[str, Any] = {
            "limit": _PAGE,
            "downloadMedia": "false",
            "sortBy": "timestamp",
            "sortOrder": "desc",
            "filter.timestamp.gte": int(since.timestamp()),
        }
        if own_only:
            query["filter.fromMe"] = "true"
        found: list[dict[str, Any]] = []
        for page in range(_MOST_PAGES):
            answer = await self._list(
                f"/api/{self._session}/chats/{quote(chat, safe='')}/messages",
                query | {"offset": page * _PAGE},
            )
            found += [
                message for message in answer if _since(moment(message.get("timestamp")), since)
            ]
            if len(answer) < _PAGE or _all_older(answer, since):
                break
        return sorted(found, key=lambda message: moment(message.get("timestamp")) or since)

    async def message(
        self, chat: str, native_id: str, *, from_me: bool = False, download_media: bool = False
    ) -> dict[str, Any] | None:
        """One message of a chat, or ``None``; ``download_media`` makes WAHA fetch its file."""
        own = "true" if from_me else "false"
        full_id = quote(f"{own}_{chat}_{native_id}", safe="")
        answer = await self._find(
            f"/api/{self._session}/chats/{quote(chat, safe='')}/messages/{full_id}",
            {"downloadMedia": "true" if download_media else "false"},
        )
        return as_dict(answer) or None

    async def media(self, path: str) -> bytes:
        """A file by the ``path`` of its message; the host it named plays no part.

        Raises:
            WahaRefused: no longer there, or larger than 32 MiB.
        """
        if not path.startswith("/api/files/"):
            raise WahaRefused("not a file of WAHA", status=404)
        return await self._bytes("GET", path, _LARGEST_FILE)

    async def _find(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """The answer, or ``None`` where WAHA says 404."""
        try:
            return await self._json("GET", path, query)
        except WahaRefused as refusal:
            if refusal.data.get("status") == 404:
                return None
            raise

    async def _list(self, path: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        answer = await self._json("GET", path, query)
        if not isinstance(answer, list):
            raise WahaUnavailable(f"WAHA did not answer {path.rpartition('/')[2]} with a list")
        return [item for item in answer if isinstance(item, dict)]

    async def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> Any:
        body = await self._bytes(method, path, _LARGEST_ANSWER, query=query, json=json)
        try:
            return orjson.loads(body) if body.strip() else None
        except orjson.JSONDecodeError as error:
            raise WahaUnavailable("WAHA's answer is not JSON") from error

    async def _bytes(
        self,
        method: str,
        path: str,
        limit: int,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> bytes:
        request = self._client.stream(method, path, params=query, headers=headers, json=json)
        try:
            async with asyncio.timeout(self._longest_call), request as answer:
                _refuse_unless_ok(answer.status_code)
                return await read_at_most(answer, limit)
        except (httpx2.HTTPError, TimeoutError) as error:
            raise WahaUnavailable(f"WAHA: {type(error).__name__}") from error


def _refuse_unless_ok(status: int) -> None:
    if status < 300:
        return
    if status in (401, 403):
        raise WahaUnauthorized(status=status)
    if status in (408, 425, 429) or (status >= 500 and status != 501):
        raise WahaUnavailable(f"WAHA answered {status}", status=status)
    raise WahaRefused(f"WAHA answered {status}", status=status)


async def read_at_most(answer: httpx2.Response, limit: int) -> bytes:
    """The body of a streamed answer.

    Raises:
        WahaRefused: it is larger than ``limit`` bytes.
    """
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > limit:
            raise WahaRefused(f"an answer of more than {limit} bytes", status=413)
    return bytes(body)


def _last_moment(chat: dict[str, Any]) -> datetime | None:
    return (
        moment(dig(chat, "lastMessage", "timestamp"))
        or moment(dig(chat, "timestamp|conversationTimestamp"))
        or moment(dig(chat, "_chat", "timestamp|conversationTimestamp"))
    )


def _since(at: datetime | None, since: datetime) -> bool:
    return at is None or at >= since.replace(microsecond=0)


def _all_older(items: list[dict[str, Any]], since: datetime) -> bool:
    """Whether the newest of a page is already too old, so that no later page can matter."""
    times = [at for item in items if (at := _last_moment(item))]
    return bool(times) and max(times) < since - timedelta(seconds=1)
