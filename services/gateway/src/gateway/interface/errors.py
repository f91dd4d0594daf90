"""Every refusal as a problem (RFC 9457): one place maps the kinds of error to HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from math import ceil
from typing import Any, TypeAlias, get_args

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from commerce_agent.domain.services.optimistic_lock import ChangedMeanwhile
from gateway.application.ports.idempotency import KeyReused, OutcomeUnknown, StillRunning
from shared.kernel.errors import (
    Conflict,
    DomainError,
    Forbidden,
    Invalid,
    NotFound,
    TooMany,
    Unauthorized,
    Unavailable,
)

MEDIA_TYPE = "application/problem+json"

_STATUS: tuple[tuple[type[DomainError], int], ...] = (
    (KeyReused, 422),
    (StillRunning, 409),
    (OutcomeUnknown, 409),
    (Unauthorized, 401),
    (Invalid, 422),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (TooMany, 429),
    (Unavailable, 503),
)
"""The first that fits counts, so the special ones stand before their kind."""

_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "content_too_large",
    415: "unsupported_media_type",
}
_RETRY_AFTER = timedelta(seconds=1)
_MOST_ERRORS = 100
"""Wrong fields that are named; the detail counts them all."""
_LONGEST_NAME = 100

Refusal: TypeAlias = DomainError | HTTPException | RequestValidationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What went wrong, as the caller is told. ``code`` never changes its meaning."""

    status: int
    code: str
    detail: str
    errors: Sequence[Mapping[str, str]] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def response(problem: Problem, scope: Scope) -> Response:
    """The problem as an answer; it names the request, so that the log line can be found."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        **problem.more,
    }
    if problem.errors:
        body["errors"] = list(problem.errors)
    request_id = scope.get("state", {}).get("request_id")
    if request_id:
        body["request_id"] = request_id
    return Response(
        orjson.dumps(body),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=dict(problem.headers),
    )


def of_domain(error: DomainError, *, conditional: bool = False) -> Problem:
    """What a domain error means over HTTP; ``conditional``: the request came with If-Match."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if conditional and isinstance(error, ChangedMeanwhile):
        status = 412
    headers = {}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, TooMany | Unavailable):
        wait = error.retry_after or _RETRY_AFTER
        headers["retry-after"] = str(max(1, ceil(wait.total_seconds())))
    data = {name: _plain(value) for name, value in error.data.items()}
    return Problem(
        status=status,
        code=error.code,
        detail=error.detail,
        more={"data": data} if data else {},
        headers=headers,
    )


def of_http(error: HTTPException) -> Problem:
    """What the framework refused: no such route, wrong method, too large."""
    code = _CODES.get(error.status_code, HTTPStatus(error.status_code).phrase.lower())
    return Problem(
        status=error.status_code,
        code=code.replace(" ", "_"),
        detail=str(error.detail),
        headers=error.headers or {},
    )


def of_validation(error: RequestValidationError) -> Problem:
    """Which fields are wrong; what was sent in them is not repeated."""
    wrong = error.errors()
    count = f"{len(wrong)} fields are" if len(wrong) > 1 else "1 field is"
    return Problem(
        status=422,
        code="validation_failed",
        detail=f"{count} not valid",
        errors=[_field(problem) for problem in wrong[:_MOST_ERRORS]],
    )


def internal() -> Problem:
    """Something broke that should not; the log knows more than the caller."""
    return Problem(status=500, code="internal_error", detail="This is our fault, not yours.")


def of_any(error: Refusal, scope: Scope) -> Problem:
    """Any refusal that a route may raise, answered as this request deserves."""
    if isinstance(error, DomainError):
        conditional = any(name == b"if-match" for name, _ in scope["headers"])
        return of_domain(error, conditional=conditional)
    if isinstance(error, RequestValidationError):
        return of_validation(error)
    return of_http(error)


def install(app: FastAPI) -> None:
    """Answer every refusal of this application with a problem."""

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return response(of_any(error, request.scope), request.scope)

    async def break_down(request: Request, _: Exception) -> Response:
        return response(internal(), request.scope)

    for kind in get_args(Refusal):
        app.add_exception_handler(kind, refuse)
    app.add_exception_handler(Exception, break_down)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's ``responses``: these statuses answer with a problem."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def _field(problem: Mapping[str, Any]) -> dict[str, str]:
    where, *path = problem["loc"]
    if where == "body":
        if problem["type"] == "json_invalid":
            return {"pointer": "#", "detail": "this is not JSON"}
        pointer = "".join(f"/{_escaped(str(part))}" for part in path)
        return {"pointer": f"#{pointer}", "detail": problem["msg"]}
    return {"in": str(where), "parameter": ".".join(map(str, path)), "detail": problem["msg"]}


def _escaped(part: str) -> str:
    return part[:_LONGEST_NAME].replace("~", "~0").replace("/", "~1")


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else str(value)
