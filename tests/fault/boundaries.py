"""Names every I/O boundary of a running service, and hits one of them.

Installed in a forked child alone, by wrapping the lowest calls of the libraries: asyncpg's
protocol, aiormq's channel, httpcore2's connection, uvicorn's request. No product code knows of it.

A boundary is (stage, ordinal, operation). The stage is the work that the asyncio task does, as the
product names its tasks (``conversation.turn #1``, ``send #2``, ``inbox-flusher``), or the request
that uvicorn answers; the ordinal counts its boundaries from 1. Not counted is

- what runs by the clock alone: heartbeats, wake-ups, renewals, sweeps, the look at channels that a
  start begins with;
- what only prepares a statement: connecting and the new session's settings, catalogue look-ups,
  ``BEGIN``, the tenant or role of a transaction, ``ROLLBACK``. Dying there is dying before the
  statement; and which statement opens the pool's next connection is chance;
- of a loop that polls (``consume …``, ``relay of …``) what found nothing to do. Whether a statement
  finds something is known afterwards, so it is hit after it, never before.

Not wrapped is Redis, which holds nothing that may not be forgotten.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import wraps
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class Operation(StrEnum):
    """What crosses the boundary. A statement outside of a transaction is its own commit."""

    EXECUTE = "execute"
    COMMIT = "commit"
    PUBLISH = "publish"
    ACK = "ack"
    SEND = "send"
    """A request leaves for another server, or a part of our answer for the client."""
    RECEIVE = "receive"
    """An answer, or a request's body, is read."""


class Mode(StrEnum):
    """What happens there."""

    DIE_BEFORE = "die-before"
    DIE_AFTER = "die-after"
    """It was done, and nobody here has heard of it."""
    HANG = "hang"
    """The whole process stands still until it is told to go on; then it does what it was about
    to do."""
    CANCEL = "cancel"
    """The stage's task is cancelled while it waits for the outcome."""


@dataclass(frozen=True, order=True)
class Boundary:
    """One named point of a service's run."""

    service: str
    stage: str
    ordinal: int
    operation: str
    what: str = ""
    """The start of the statement, or the request: for people and for landmarks."""
    late: bool = False
    """Known only afterwards, so that nothing can happen before it."""

    @property
    def name(self) -> str:
        return f"{self.service} / {self.stage} / {self.ordinal} {self.operation}"


@dataclass(frozen=True, kw_only=True)
class BoundaryPlan:
    """For one process. Without a ``mode`` it only writes down what it crosses."""

    ledger: str
    """A file: one line of JSON per boundary crossed, and one ``{"hit": …}``."""
    stage: str = ""
    ordinal: int = 0
    operation: str = ""
    mode: str = ""


_BY_THE_CLOCK = (
    "cancelled jobs", "channel.repair", "gateway-", "heartbeat-", "hints of ", "lease", "waker",
)  # fmt: skip
_POLLING = ("consume ", "relay of ")
_PREFIX = re.compile(r"(?<=^relay of ).*\.")
"""Of a broker's queue names: each run has its own."""
_ID = re.compile(r" ?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PREPARES = re.compile(
    r"\s*(;|BEGIN|ROLLBACK|SET idle_in_|SET LOCAL ROLE|SELECT set_config\('app\.tenant'"
    r"|.*\bpg_catalog\.|SELECT\s.*set_config\('jit')",
    re.DOTALL,
)
_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE)\b")
_SHOWN = 72


def install(plan: BoundaryPlan) -> None:
    """Wrap the libraries of this process, for good."""
    crossings = _Crossings(plan)
    _remember_parents()
    _wrap_asyncpg(crossings)
    _wrap_httpcore(crossings)
    _wrap_uvicorn(crossings)
    _wrap_aiormq(crossings)


# -- who works ------------------------------------------------------------------------------------

_parents: WeakKeyDictionary[asyncio.Task[Any], asyncio.Task[Any] | None] = WeakKeyDictionary()
_request: ContextVar[str | None] = ContextVar("request", default=None)


def _remember_parents() -> None:
    """Unnamed tasks, as `asyncio.gather` makes them, work for the one who made them.

    Whatever loop the services run on: libuv's takes no patch, but any loop takes a task factory.
    """
    from shared.observability import process

    make = process.loop_factory() or asyncio.new_event_loop

    def remembering(loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=loop, **options)
        with contextlib.suppress(RuntimeError):
            _parents[task] = asyncio.current_task()
        return task

    def make_remembering() -> asyncio.AbstractEventLoop:
        loop = make()
        loop.set_task_factory(remembering)
        return loop

    process.loop_factory = lambda: make_remembering


def _work() -> tuple[str, asyncio.Task[Any]] | None:
    """The stage's name and the task that stands for it; ``None``: nothing that counts."""
    task = asyncio.current_task()
    assert task is not None
    request = _request.get()
    if request is not None:
        return None if request.startswith("GET ") else (request, _top(task))
    while task.get_name().startswith("Task-"):
        parent = _parents.get(task)
        if parent is None or parent.get_name().startswith("consume "):
            return None  # a sweep, a renewal
        task = parent
    name = _PREFIX.sub("", _ID.sub("", task.get_name()))
    return None if name.startswith(_BY_THE_CLOCK) else (name, task)


def _top(task: asyncio.Task[Any]) -> asyncio.Task[Any]:
    """Of a request's tasks the one that uvicorn made."""
    while (parent := _parents.get(task)) is not None:
        task = parent
    return task


class _Crossings:
    """Counts, writes down, and hits."""

    def __init__(self, plan: BoundaryPlan) -> None:
        self._plan = plan
        self._ledger = os.open(plan.ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._instances: Counter[str] = Counter()
        self._stages: WeakKeyDictionary[asyncio.Task[Any], str] = WeakKeyDictionary()
        self._ordinals: Counter[str] = Counter()
        self._busy: WeakKeyDictionary[asyncio.Task[Any], bool] = WeakKeyDictionary()
        self._to_commit: WeakKeyDictionary[asyncio.Task[Any], bool] = WeakKeyDictionary()

    async def cross(self, operation: Operation, what: str, do: Callable[[], Awaitable[T]]) -> T:
        """Do it, as one boundary."""
        work = _work()
        if work is None:
            return await do()
        name, task = work
        if name.startswith(_POLLING):
            if operation is Operation.EXECUTE:
                return await self._look(what, do, work)
            if operation is Operation.COMMIT and not self._to_commit.pop(task, False):
                return await do()
            if not self._busy.get(task):
                return await do()
        hit = self.enter(operation, what, work)
        answer = await do()
        self.leave(hit)
        return answer

    async def _look(
        self, what: str, do: Callable[[], Awaitable[T]], work: tuple[str, asyncio.Task[Any]]
    ) -> T:
        """A statement of a loop that polls. Work begins with rows that it returns and lasts until a
        look that returns none; in between, what writes belongs to it."""
        _, task = work
        answer = await do()
        found = _work_in(what, answer)
        if found is not None:
            self._busy[task] = found
        if found or (self._busy.get(task) and _WRITES.search(what)):
            self._to_commit[task] = True
            self.leave(self.enter(Operation.EXECUTE, what, work, late=True))
        return answer

    def enter(
        self,
        operation: Operation,
        what: str,
        work: tuple[str, asyncio.Task[Any]] | None,
        *,
        late: bool = False,
    ) -> bool:
        """Count a boundary; answer whether `leave` shall end the process."""
        if work is None:
            return False
        stage = self._stage(*work)
        self._ordinals[stage] += 1
        ordinal = self._ordinals[stage]
        found = Boundary("", stage, ordinal, operation.value, _shown(what), late)
        self._write(asdict(found))
        plan = self._plan
        if not plan.mode or (stage, ordinal) != (plan.stage, plan.ordinal):
            return False
        if operation.value != plan.operation:
            self._write({"missed": asdict(found)})
            return False
        self._write({"hit": plan.mode})
        match Mode(plan.mode):
            case Mode.DIE_BEFORE:
                _die()
            case Mode.HANG:
                os.kill(os.getpid(), signal.SIGSTOP)
            case Mode.CANCEL:
                work[1].cancel()
            case Mode.DIE_AFTER:
                return True
        return False

    def leave(self, hit: bool) -> None:
        if hit:
            _die()

    def _stage(self, name: str, task: asyncio.Task[Any]) -> str:
        if task not in self._stages:
            self._instances[name] += 1
            number = self._instances[name]
            lives_on = name.startswith(_POLLING) or name == "inbox-flusher"
            self._stages[task] = name if lives_on else f"{name} #{number}"
        return self._stages[task]

    def _write(self, line: dict[str, Any]) -> None:
        os.write(self._ledger, json.dumps(line).encode() + b"\n")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _shown(what: str) -> str:
    return _ID.sub(" …", " ".join(what.split()))[:_SHOWN].strip()


# -- PostgreSQL -----------------------------------------------------------------------------------


def _wrap_asyncpg(crossings: _Crossings) -> None:
    from asyncpg.protocol import Protocol

    def of(protocol: Any, statement: str) -> Operation | None:
        if _PREPARES.match(statement):
            return None
        if statement.startswith("COMMIT"):
            return Operation.COMMIT
        if not protocol.is_in_transaction() and _WRITES.search(statement):
            return Operation.COMMIT
        return Operation.EXECUTE

    def wrap(method: str) -> None:
        original = getattr(Protocol, method)

        @wraps(original)
        async def crossing(self: Any, *args: Any, **named: Any) -> Any:
            subject = args[0] if args else named.get("state", named.get("query"))
            statement = subject if isinstance(subject, str) else subject.query
            operation = of(self, statement)
            if operation is None:
                return await original(self, *args, **named)
            return await crossings.cross(
                operation, statement, lambda: original(self, *args, **named)
            )

        setattr(Protocol, method, crossing)

    for method in ("query", "bind_execute", "bind_execute_many"):
        wrap(method)


def _work_in(statement: str, answer: Any) -> bool | None:
    """Whether a look at the queue returned rows that somebody now works on; ``None``: it was no
    such look."""
    rows = answer[0] if isinstance(answer, tuple) else answer
    if not isinstance(rows, list):
        return None
    if not rows:
        return False if "RETURNING" in statement else None
    if "id" not in rows[0].keys():  # noqa: SIM118 - a record's `in` looks at its values
        return None
    return any(
        row["id"] is not None and not str(row.get("kind")).startswith(_BY_THE_CLOCK) for row in rows
    )


# -- HTTP, as a client ----------------------------------------------------------------------------


def _wrap_httpcore(crossings: _Crossings) -> None:
    from httpcore2._async.http11 import AsyncHTTP11Connection as Connection

    send_headers = Connection._send_request_headers
    send_body = Connection._send_request_body
    receive_headers = Connection._receive_response_headers
    receive_body = Connection._receive_response_body
    hits: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()

    def what(request: Any) -> str:
        target = request.url.target.decode("latin-1").partition("?")[0]
        return f"{request.method.decode()} {target}"

    async def sending(self: Any, request: Any) -> None:
        hits[self] = crossings.enter(Operation.SEND, what(request), _work())
        await send_headers(self, request)

    async def sent(self: Any, request: Any) -> None:
        await send_body(self, request)
        crossings.leave(hits.pop(self, False))

    async def receiving(self: Any, request: Any) -> Any:
        hits[self] = crossings.enter(Operation.RECEIVE, what(request), _work())
        return await receive_headers(self, request)

    async def received(self: Any, request: Any) -> AsyncIterator[bytes]:
        async with contextlib.aclosing(receive_body(self, request)) as chunks:
            async for chunk in chunks:
                yield chunk
        crossings.leave(hits.pop(self, False))

    Connection._send_request_headers = sending  # type: ignore[method-assign]
    Connection._send_request_body = sent  # type: ignore[method-assign]
    Connection._receive_response_headers = receiving  # type: ignore[method-assign]
    Connection._receive_response_body = received  # type: ignore[method-assign,assignment]


# -- HTTP, as a server ----------------------------------------------------------------------------


def _wrap_uvicorn(crossings: _Crossings) -> None:
    from uvicorn.protocols.http import h11_impl, httptools_impl

    def wrap(cycle: Any) -> None:
        run_asgi, send, receive = cycle.run_asgi, cycle.send, cycle.receive

        async def running(self: Any, app: Any) -> None:
            _request.set(f"{self.scope['method']} {_ID.sub('*', self.scope['path'])}")
            await run_asgi(self, app)

        async def sending(self: Any, message: Any) -> None:
            await crossings.cross(Operation.SEND, message["type"], lambda: send(self, message))

        async def receiving(self: Any) -> Any:
            return await crossings.cross(Operation.RECEIVE, "body", lambda: receive(self))

        cycle.run_asgi, cycle.send, cycle.receive = running, sending, receiving

    for module in (h11_impl, httptools_impl):
        wrap(module.RequestResponseCycle)


# -- RabbitMQ -------------------------------------------------------------------------------------


def _wrap_aiormq(crossings: _Crossings) -> None:
    from aiormq.channel import Channel

    publish, ack = Channel.basic_publish, Channel.basic_ack

    async def publishing(self: Any, body: bytes, **options: Any) -> Any:
        # the name of the queue ends with what it is for; before that stands the run's own prefix
        what = f"publish to {options.get('routing_key', '').rpartition('.')[2]}"
        return await crossings.cross(
            Operation.PUBLISH, what, lambda: publish(self, body, **options)
        )

    async def acking(self: Any, *args: Any, **options: Any) -> Any:
        return await crossings.cross(Operation.ACK, "ack", lambda: ack(self, *args, **options))

    Channel.basic_publish = publishing  # type: ignore[method-assign]
    Channel.basic_ack = acking  # type: ignore[method-assign]
