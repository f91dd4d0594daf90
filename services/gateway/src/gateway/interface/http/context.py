"""What surrounds every request: an id, one log line, metrics, safe headers, no naked failure."""

import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from time import perf_counter
from typing import TypeAlias

import structlog
from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.interface import errors
from shared.observability.logging import REQUEST_ID

log = structlog.get_logger()

Header: TypeAlias = tuple[bytes, bytes]

REQUESTS = Counter("http_requests_total", "Requests answered", ["method", "route", "status"])
SECONDS = Histogram(
    "http_request_seconds",
    "Time from request to the end of the answer",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}\Z")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"/health", "/ready", "/metrics", "/static"})
_SAFE_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cache-control": b"no-store",
}
"""A route that needs more says so itself; these fill in what it left open. They speak to browsers,
so the 200 of a webhook, the same few bytes hundreds of times a second, goes without."""
_WEBHOOKS = "/v1/crm/webhook/"


class RequestContext:
    """Wraps the whole application. A failure that nobody expected becomes a problem of status 500
    and a log line with its trace, here and nowhere else."""

    def __init__(self, app: ASGIApp, *, now: Callable[[], float] = perf_counter) -> None:
        self._app = app
        self._now = now
        self._ids = _new_ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given_id(scope) or next(self._ids)
        # a copy of its own: what one request learns (its caller, say) is no other's to see
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        began = self._now()
        status, complete = 0, False

        def send_dressed(message: Message) -> Awaitable[None]:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
                if not _is_stored_webhook(_route(scope), status):
                    headers += _safe_headers(headers)
                message = {**message, "headers": headers}
            else:
                complete = message["type"] == "http.response.body" and not message.get("more_body")
            return send(message)

        named = REQUEST_ID.set(request_id)
        try:
            await self._app(scope, receive, send_dressed)
        except Exception as error:
            log.error("http_request_failed", route=_route(scope), exc_info=error)
            if status and not complete:
                raise  # half an answer has left: only closing the connection is honest
            if not status:
                await errors.response(errors.internal(), scope)(scope, receive, send_dressed)
        finally:
            self._note(scope, status, self._now() - began)
            REQUEST_ID.reset(named)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method, route = scope["method"], _route(scope)
        meters = _meters(method if method in _METHODS else "OTHER", route, status)
        meters.requests.inc()
        meters.seconds.observe(seconds)
        if meters.silent:
            return
        say = log.debug if meters.routine else log.info
        caller = scope["state"].get("caller")
        say(
            "http_request",
            method=meters.method,
            route=route,
            status=status,
            milliseconds=round(seconds * 1000, 1),
            key_id=str(caller.key_id) if caller else None,
        )


@dataclass(frozen=True, slots=True)
class _Meters:
    """Where requests of one kind are counted: finding the place costs more than counting."""

    method: str
    requests: Counter
    seconds: Histogram
    routine: bool
    """Hundreds of webhooks a second are counted; only what was refused is worth a line."""
    silent: bool


@cache  # as many as the metrics' registry keeps itself
def _meters(method: str, route: str, status: int) -> _Meters:
    routine = route in _QUIET or _is_stored_webhook(route, status)
    return _Meters(
        method=method,
        requests=REQUESTS.labels(method, route, status),
        seconds=SECONDS.labels(route),
        routine=routine,
        silent=routine and not log.is_enabled_for(logging.DEBUG),
    )


def _is_stored_webhook(route: str, status: int) -> bool:
    return status == 200 and route.startswith(_WEBHOOKS)


def _safe_headers(given: Iterable[Header]) -> Iterable[Header]:
    """Those that the answer leaves open."""
    said = {name for name, _ in given}
    return [header for header in _SAFE_HEADERS.items() if header[0] not in said]


def _given_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given = str(value, "latin-1")
            if _SANE_ID.match(given):
                return given
    return None


def _new_ids() -> Iterator[str]:
    """Unlike those of any other process, and no secret: the kernel is asked once."""
    ours = os.urandom(10).hex()
    return (f"{ours}{number:012x}" for number in count(1))


def _route(scope: Scope) -> str:
    """The template, never the path: paths hold phone numbers."""
    named = scope["state"].get("route")
    if named:
        return str(named)
    return str(getattr(scope.get("route"), "path", "unmatched"))
