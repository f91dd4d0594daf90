"""What surrounds every request: an id, one log line, metrics, safe headers, no naked failure."""

import re
from collections.abc import Callable
from time import perf_counter

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.interface import errors
from shared.kernel.ids import new_id

log = structlog.get_logger()

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
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}
"""A route that needs more says so itself; these fill in what it left open."""


class RequestContext:
    """Wraps the whole application. A failure that nobody expected becomes a problem of status 500
    and a log line with its trace, here and nowhere else."""

    def __init__(self, app: ASGIApp, *, now: Callable[[], float] = perf_counter) -> None:
        self._app = app
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        # a copy of its own: what one request learns (its caller, say) is no other's to see
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        began = self._now()
        status, complete = 0, False

        async def send_dressed(message: Message) -> None:
            nonlocal status, complete
            complete = message["type"] == "http.response.body" and not message.get("more_body")
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                headers["x-request-id"] = request_id
                for name, value in _SAFE_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
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

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = _route(scope)
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        REQUESTS.labels(method, route, status).inc()
        SECONDS.labels(route).observe(seconds)
        # hundreds of webhooks a second are counted; only what was refused is worth a line
        routine = route in _QUIET or (route.startswith("/v1/crm/webhook/") and status == 200)
        say = log.debug if routine else log.info
        caller = scope["state"].get("caller")
        say(
            "http_request",
            method=method,
            route=route,
            status=status,
            milliseconds=round(seconds * 1000, 1),
            key_id=str(caller.key_id) if caller else None,
        )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given = str(value, "latin-1")
            if _SANE_ID.match(given):
                return given
    return new_id().hex


def _route(scope: Scope) -> str:
    """The template, never the path: paths hold phone numbers."""
    named = scope["state"].get("route")
    if named:
        return str(named)
    return str(getattr(scope.get("route"), "path", "unmatched"))
