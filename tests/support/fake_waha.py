"""A WAHA server as a real HTTP server: three engines' shapes, scripted faults, a ledger.

    async with FakeWaha(engine="GOWS") as waha:
        waha.fault("/api/sendText", Status(500, done=True), Hang(), Reset(done=True))
        waha.sessions["default"].status = "SCAN_QR_CODE"      # every send answers 422
        ... waha.url, waha.api_key, waha.calls, waha.sent[chat], waha.texts(chat)

Faults are used up in the order of the calls to their path (of a path with a session in it, its end:
``/new-message-id``). ``done`` says whether the server does the thing before it fails to say so.
"""

import asyncio
import json
import time
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import httpx2

from tests.support.waha_webhooks import (
    SECRET,
    SHOP,
    Engine,
    Json,
    Webhook,
    Webhooks,
    new_native_id,
)

API_KEY = "test-waha-key"
_PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 16


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong with one call. ``delay`` seconds pass before anything is done."""

    delay: float = 0.0
    done: bool = False


@dataclass(frozen=True)
class Status(Fault):
    """An answer with this status; without ``body`` the one WAHA would give, request included."""

    status: int = 500
    body: Any = None

    def __init__(
        self, status: int, body: Any = None, *, done: bool = False, delay: float = 0.0
    ) -> None:
        for name, value in (("status", status), ("body", body), ("done", done), ("delay", delay)):
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Hang(Fault):
    """No answer, ever; the connection stays open."""


@dataclass(frozen=True)
class Reset(Fault):
    """The connection breaks off."""


@dataclass(frozen=True)
class Delay(Fault):
    """The right answer, late."""

    def __init__(self, seconds: float) -> None:
        object.__setattr__(self, "delay", seconds)
        object.__setattr__(self, "done", True)


@dataclass(frozen=True)
class Drip(Fault):
    """The right answer, one byte per ``every`` seconds: no wait for a byte is ever long."""

    every: float = 0.0

    def __init__(self, every: float) -> None:
        object.__setattr__(self, "every", every)
        object.__setattr__(self, "delay", 0.0)
        object.__setattr__(self, "done", True)


@dataclass(frozen=True, kw_only=True)
class WahaCall:
    """One line of the ledger."""

    index: int
    method: str
    path: str
    query: dict[str, str]
    json: Json
    at: float
    """Monotonic seconds."""
    wall: float
    """Seconds since the epoch, to compare with the database."""

    @property
    def chat(self) -> str | None:
        return self.json.get("chatId")


@dataclass(frozen=True, kw_only=True)
class Answered:
    """How a call was answered, and when (monotonic seconds)."""

    status: int
    at: float


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A message that reached WhatsApp."""

    index: int
    """The call's place in the ledger."""
    session: str
    chat: str
    native_id: str
    kind: str
    """``sendText`` and so on."""
    text: str | None
    json: Json


@dataclass
class FakeSession:
    """A session; ``status`` other than WORKING makes everything that needs the phone a 422."""

    status: str = "WORKING"
    me: str = SHOP
    config: Json | None = None
    """As the last POST or PUT left it."""


@dataclass(kw_only=True)
class _Echo:
    url: str
    secret: str
    client: httpx2.AsyncClient
    acks: tuple[int, ...]
    before_answer: bool


@dataclass(frozen=True)
class _Answer:
    status: int
    body: bytes
    content_type: str = "application/json"
    drip: float = 0.0


class _Broken(Exception):
    """The connection is cut here."""


class FakeWaha:
    """The server. ``history_status`` other than 200 is an engine without history."""

    def __init__(self, *, engine: Engine = "NOWEB", api_key: str = API_KEY) -> None:
        self.engine: Engine = engine
        self.api_key = self._own_key = api_key
        self.calls: list[WahaCall] = []
        self.answers: dict[int, Answered] = {}
        """By the call's place in the ledger; of a call that got none there is none."""
        self.sent: defaultdict[str, list[Sent]] = defaultdict(list)
        self.sessions: dict[str, FakeSession] = defaultdict(FakeSession)
        """Any name is a working session until a test says otherwise."""
        self.unknown_sessions: set[str] = set()
        self.lids: dict[str, str] = {}
        self.files: dict[str, tuple[bytes, str]] = {}
        self.history: defaultdict[str, list[Json]] = defaultdict(list)
        self.history_status = 200
        self.echoes: list[tuple[Webhook, int]] = []
        """What the echo mode delivered, with the receiver's status."""
        self._faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._open: set[asyncio.Task[None]] = set()
        self._echo: _Echo | None = None
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()
        if self._echo is not None:
            await self._echo.client.aclose()

    def begin_anew(self, *, engine: Engine | None = None) -> None:
        """Forget everything that was sent, scripted or set; the address stays."""
        self.engine = engine or self.engine
        self.api_key = self._own_key
        self.history_status = 200
        for kept in (
            self.calls, self.answers, self.sent, self.sessions, self.unknown_sessions, self.lids,
            self.files, self.history, self.echoes, self._faults,
        ):  # fmt: skip
            kept.clear()  # type: ignore[attr-defined]
        self._echo = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def host(self) -> str:
        """As OUTBOUND_ALLOW_HOSTS wants it."""
        return f"127.0.0.1:{self.port}"

    @property
    def address_pattern(self) -> str:
        """What the base_url of a channel on this server matches, as PostgreSQL reads patterns."""
        return f":{self.port}(/|$)"

    def client(self, api_key: str | None = None) -> httpx2.AsyncClient:
        """A plain client with address and key set; the caller closes it."""
        return httpx2.AsyncClient(
            base_url=self.url,
            headers={"x-api-key": api_key or self.api_key},
            timeout=5,
            trust_env=False,
        )

    def fault(self, path: str, *faults: Fault) -> None:
        """Let the next calls to ``path`` go wrong, one each."""
        self._faults[path].extend(faults)

    def texts(self, chat: str | None = None) -> list[str | None]:
        """What was sent, in order, to one chat or to all."""
        sent = [one for chats in self.sent.values() for one in chats]
        chosen = sent if chat is None else self.sent[chat]
        return [one.text for one in sorted(chosen, key=lambda one: one.index)]

    def paths(self, *endings: str) -> list[str]:
        """The last segments of all calls in order, or of those with these endings only."""
        names = [call.path.rpartition("/")[2] for call in self.calls]
        return [name for name in names if not endings or name in endings]

    async def until(self, holds: Callable[[], bool], *, seconds: float = 10.0) -> None:
        """Wait until a call made ``holds`` true; `TimeoutError` after ``seconds``."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(holds)

    def echo(
        self,
        url: str,
        *,
        secret: str = SECRET,
        acks: tuple[int, ...] = (1, 2, 3),
        before_answer: bool = False,
        client: httpx2.AsyncClient | None = None,
    ) -> None:
        """From now on report each sent message to ``url``, as WAHA's webhook does: ``message.any``
        with source api, then its acks. ``client`` may go straight into an ASGI app."""
        own = client or httpx2.AsyncClient(timeout=10, trust_env=False)
        self._echo = _Echo(
            url=url, secret=secret, client=own, acks=acks, before_answer=before_answer
        )

    def remember(self, chat: str, *payloads: Json) -> None:
        """Put messages into a chat's history, as if they had come while nobody listened."""
        self.history[chat].extend(payloads)

    # -- the wire -------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while True:
                await self._exchange(reader, writer)
        except _Broken:
            writer.transport.abort()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the server ends
        finally:
            self._open.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        parts = urlsplit(target)
        call = WahaCall(
            index=len(self.calls),
            method=method,
            path=parts.path,
            query={key: values[0] for key, values in parse_qs(parts.query).items()},
            json=json.loads(body) if body else {},
            at=time.monotonic(),
            wall=time.time(),
        )
        answer = await self._answer(call, headers.get("x-api-key", ""))
        self.answers[call.index] = Answered(status=answer.status, at=time.monotonic())
        head = (
            f"HTTP/1.1 {answer.status} X\r\ncontent-type: {answer.content_type}\r\n"
            f"content-length: {len(answer.body)}\r\n\r\n".encode()
        )
        if not answer.drip:
            writer.write(head + answer.body)
            await writer.drain()
            return
        for byte in head + answer.body:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(answer.drip)

    async def _answer(self, call: WahaCall, key: str) -> _Answer:
        async with self._changed:
            self.calls.append(call)
            self._changed.notify_all()
        fault = self._next_fault(call.path)
        if fault is None:
            return await self._do(call, key)
        await asyncio.sleep(fault.delay)
        answer = await self._do(call, key) if fault.done else None
        match fault:
            case Status():
                return _json(fault.status, fault.body or _error(call, fault.status))
            case Hang():
                await asyncio.Event().wait()
            case Reset():
                raise _Broken
            case Drip():
                assert answer is not None
                return replace(answer, drip=fault.every)
        assert answer is not None
        return answer

    def _next_fault(self, path: str) -> Fault | None:
        for ending, faults in self._faults.items():
            if faults and path.endswith(ending):
                return faults.popleft()
        return None

    # -- what the server does ---------------------------------------------------------------------

    async def _do(self, call: WahaCall, key: str) -> _Answer:
        if call.path == "/ping":
            return _json(200, {"message": "pong"})
        if key != self.api_key:
            return _json(401, {"message": "Unauthorized", "statusCode": 401})
        steps = [unquote(step) for step in call.path.split("/")[2:]]
        match call.method, steps:
            case "POST", [kind] if kind.startswith("send") and kind != "sendSeen":
                return await self._send(call, kind)
            case "POST", ["sendSeen" | "startTyping" | "stopTyping"]:
                return self._needs_phone(call) or _json(201, {"result": True})
            case "GET", ["server", "version"]:
                return _json(200, {"version": "2026.7.1", "engine": self.engine, "tier": "CORE"})
            case _, ["sessions", *rest]:
                return self._session(call, rest)
            case "GET", ["files", *_]:
                return self._file(call.path)
            case "GET", [session, "new-message-id"]:
                return self._new_id(session)
            case "GET", [session, "auth", "qr"]:
                return self._qr(session)
            case "GET", [_, "lids", lid]:
                lid = lid if "@" in lid else f"{lid}@lid"
                return _json(200, {"lid": lid, "pn": self.lids.get(lid)})
            case "GET", [_, "chats", *rest]:
                return self._chats(call, rest)
        return _json(404, {"message": f"Cannot {call.method} {call.path}", "statusCode": 404})

    def _needs_phone(self, call: WahaCall) -> _Answer | None:
        session = str(call.json.get("session", "default"))
        status = None if session in self.unknown_sessions else self.sessions[session].status
        if status == "WORKING":
            return None
        body = {
            "error": "Session status is not as expected. Try again later or restart the session",
            "session": session,
            "status": status,
            "expected": ["WORKING"],
        }
        return _json(422, body)

    async def _send(self, call: WahaCall, kind: str) -> _Answer:
        refused = self._needs_phone(call)
        if refused is not None:
            return refused
        sent = Sent(
            index=call.index,
            session=str(call.json["session"]),
            chat=str(call.json["chatId"]),
            native_id=str(call.json.get("id") or new_native_id()),
            kind=kind,
            text=call.json.get("text") or call.json.get("caption"),
            json=call.json,
        )
        async with self._changed:
            self.sent[sent.chat].append(sent)
            self._changed.notify_all()
        self.history[sent.chat].append(self._own(sent).json["payload"])
        if self._echo is not None and self._echo.before_answer:
            await self._report(self._echo, sent)
        elif self._echo is not None:
            task = asyncio.create_task(self._report(self._echo, sent))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        return _json(201, self._send_answer(sent))

    def _hooks(self, session: str, secret: str = SECRET) -> Webhooks:
        return Webhooks(
            engine=self.engine, session=session, secret=secret, me=self.sessions[session].me
        )

    def _own(self, sent: Sent, secret: str = SECRET) -> Webhook:
        return self._hooks(sent.session, secret).own(
            sent.text or "", source="api", chat=sent.chat, native_id=sent.native_id
        )

    async def _report(self, echo: _Echo, sent: Sent) -> None:
        hooks = self._hooks(sent.session, echo.secret)
        deliveries = [self._own(sent, echo.secret)]
        deliveries += [hooks.ack(sent.native_id, level, chat=sent.chat) for level in echo.acks]
        for delivery in deliveries:
            answer = await echo.client.post(
                echo.url, content=delivery.body, headers=delivery.headers
            )
            self.echoes.append((delivery, answer.status_code))

    def _send_answer(self, sent: Sent) -> Json:
        full = f"true_{sent.chat}_{sent.native_id}"
        if self.engine == "WEBJS":
            parts = {"fromMe": True, "remote": sent.chat, "id": sent.native_id}
            return {"id": parts | {"_serialized": full}, "ack": 0}
        if self.engine == "NOWEB":
            jid = sent.chat.replace("@c.us", "@s.whatsapp.net")
            return {
                "key": {"remoteJid": jid, "fromMe": True, "id": sent.native_id},
                "messageTimestamp": str(int(time.time())),
                "status": "PENDING",
                "message": {},
            }
        return {"id": full, "_data": {}}

    def _session(self, call: WahaCall, rest: list[str]) -> _Answer:
        if not rest:
            if call.method == "POST":
                return self._create(call.json)
            return _json(200, [self._session_info(name) for name in self.sessions])
        name, *action = rest
        if name in self.unknown_sessions:
            return _json(404, {"message": "Session not found", "statusCode": 404})
        match action:
            case [] if call.method == "PUT":
                self.sessions[name].config = call.json["config"]
            case ["start" | "restart"]:
                self.sessions[name].status = "WORKING"
            case ["stop"]:
                self.sessions[name].status = "STOPPED"
        return _json(201 if call.method == "POST" else 200, self._session_info(name))

    def _create(self, wanted: Json) -> _Answer:
        name = wanted["name"]
        if name in self.sessions and name not in self.unknown_sessions:
            return _json(422, {"message": f"Session '{name}' already exists", "statusCode": 422})
        self.unknown_sessions.discard(name)
        self.sessions[name] = FakeSession(config=wanted.get("config"))
        return _json(201, self._session_info(name))

    def _session_info(self, name: str) -> Json:
        session = self.sessions[name]
        me = {"id": session.me, "pushName": "Shop"} if session.status == "WORKING" else None
        return {
            "name": name,
            "status": session.status,
            "config": session.config or {},
            "me": me,
            "engine": {"engine": self.engine},
        }

    def _file(self, path: str) -> _Answer:
        found = self.files.get(path)
        if found is None:
            return _json(404, {"error": {"code": 404, "key": "FILE_NOT_FOUND"}})
        return _Answer(200, *found)

    def _new_id(self, session: str) -> _Answer:
        if self.engine == "WEBJS":
            return _json(501, {"message": "Not implemented by engine", "statusCode": 501})
        return _json(200, {"id": new_native_id()})

    def _qr(self, session: str) -> _Answer:
        if self.sessions[session].status != "SCAN_QR_CODE":
            status = self.sessions[session].status
            return _json(422, {"error": "not now", "session": session, "status": status})
        return _Answer(200, _PNG, "image/png")

    def _chats(self, call: WahaCall, rest: list[str]) -> _Answer:
        if self.history_status != 200:
            return _json(self.history_status, {"message": "Enable the store", "statusCode": 400})
        match rest:
            case [] | ["overview"]:
                return _json(200, self._overview(call))
            case [chat, "messages"]:
                return _json(200, self._messages(chat, call))
            case [chat, "messages", full_id]:
                native = full_id.split("_")[-1]
                for payload in self.history[chat]:
                    if payload["id"].endswith(f"_{native}"):
                        return _json(200, payload)
        return _json(404, {"message": "Message not found", "statusCode": 404})

    def _overview(self, call: WahaCall) -> list[Json]:
        chats = [
            {"id": chat, "name": None, "picture": None, "lastMessage": messages[-1], "_chat": {}}
            for chat, messages in self.history.items()
            if messages
        ]
        chats.sort(key=lambda chat: float(chat["lastMessage"]["timestamp"]), reverse=True)
        return _page(chats, call)

    def _messages(self, chat: str, call: WahaCall) -> list[Json]:
        since = float(call.query.get("filter.timestamp.gte", 0))
        own = call.query.get("filter.fromMe")
        found = [
            payload
            for payload in self.history[chat]
            if float(payload["timestamp"]) >= since
            and (own is None or str(payload["fromMe"]).lower() == own)
        ]
        newest_first = call.query.get("sortOrder", "desc") == "desc"
        found.sort(key=lambda payload: float(payload["timestamp"]), reverse=newest_first)
        return _page(found, call)


def _page(items: list[Json], call: WahaCall) -> list[Json]:
    offset, limit = int(call.query.get("offset", 0)), int(call.query.get("limit", 20))
    return items[offset : offset + limit]


def _json(status: int, body: Any) -> _Answer:
    return _Answer(status, json.dumps(body).encode())


def _error(call: WahaCall, status: int) -> Json:
    """WAHA's own error; a 500 repeats the whole request."""
    if status < 500:
        return {"message": "Bad Request", "statusCode": status}
    return {
        "statusCode": status,
        "timestamp": "2026-07-24T10:00:00.000Z",
        "exception": {"message": "scripted fault", "name": "Error", "stack": "…"},
        "request": {"path": call.path, "method": call.method, "body": call.json, "query": {}},
        "version": {"version": "2026.7.1"},
    }
