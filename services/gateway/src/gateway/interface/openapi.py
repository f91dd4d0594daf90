"""The OpenAPI document: what FastAPI derives from the routes, with our problems and our keys."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gateway.interface import errors

DESCRIPTION = """\
Send an API key as `Authorization: Bearer aip_…`. The tenant comes from the key; a tenant in the
path (its id or its slug) must be the key's own, anything else is answered `404`.

Lists are pages: `limit` (1 to 200) and the `cursor` that the last page gave as `next_cursor`.
Refusals are problems (RFC 9457) with a stable `code`. Creating POSTs take an `Idempotency-Key`;
updates take `If-Match` with the `ETag` that was read. Times are RFC 3339, money is
`{"amount": 25000, "currency": "IDR"}` in minor units.
"""

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457. `code` is stable; `detail` is for people.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "examples": ["product_not_found"]},
        "request_id": {"type": "string"},
        "data": {"type": "object", "description": "What the code speaks of."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "pointer": {"type": "string", "examples": ["#/variants/0/price/amount"]},
                    "in": {"type": "string"},
                    "parameter": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
_IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same request does it once and answers the same; kept "
    "for a day.",
    "schema": {"type": "string", "maxLength": 200},
}


def install(app: FastAPI) -> None:
    """Replace the application's document by the completed one."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    description=DESCRIPTION,
                    routes=app.routes,
                )
            )
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign] # FastAPI's documented way


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = _PROBLEM
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for method, operation in _operations(document):
        answers = operation["responses"]
        answers |= {
            str(status): told
            for status, told in errors.errors(*_refusals(method, operation)).items()
        }
        if _takes_a_key(method, operation):
            operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
    return document


def _refusals(method: str, operation: dict[str, Any]) -> Iterator[int]:
    """The statuses that what stands around every route may refuse this one with."""
    yield from (400, 503)
    if "422" in operation["responses"]:
        yield 422
    if operation.get("security"):
        yield from (401, 403, 404)
    if "requestBody" in operation:
        yield from (408, 413)
    if _takes_a_key(method, operation):
        yield from (409, 422)


def _takes_a_key(method: str, operation: dict[str, Any]) -> bool:
    return method == "post" and bool(operation.get("security"))


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for methods in document["paths"].values():
        yield from methods.items()
