"""How every REST route is entered: the key first, then the body; a repeated POST once."""

import hashlib
import re
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.application.ports.idempotency import Answer, Attempt, IdempotencyStore, OutcomeUnknown
from gateway.crm.dependencies import container_of
from gateway.domain.entities.api_key import Caller
from gateway.interface import errors
from shared.kernel.errors import DomainError
from shared.persistence.database import CommitUnclear

Handler: TypeAlias = Callable[[Request], Coroutine[Any, Any, Response]]

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"\Z')
_KEPT_HEADERS = ("content-type", "etag", "location")


class ApiRoute(APIRoute):
    """Authenticates before FastAPI reads the body, so that strangers cannot make it parse one."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        template = self.path

        async def enter(request: Request) -> Response:
            container = container_of(request)
            caller = await container.authentication.caller(request.headers.get("authorization"))
            request.state.caller = caller
            if caller.tenant_id is not None:
                structlog.contextvars.bind_contextvars(tenant_id=str(caller.tenant_id))
            given = request.headers.get("idempotency-key")
            if request.method != "POST" or given is None:
                return await handle(request)
            attempt = await _attempt(request, caller, f"POST {template}", _key(given))
            return await _once(container.idempotency, attempt, request, handle)

        return enter


async def _attempt(request: Request, caller: Caller, route: str, key: str) -> Attempt:
    seen = hashlib.sha256()
    for part in (request.url.path, request.url.query):
        seen.update(part.encode() + b"\n")
    seen.update(await request.body())
    return Attempt(
        holder=caller.tenant_id or caller.key_id,
        tenant_id=caller.tenant_id,
        route=route,
        key=key,
        fingerprint=seen.digest(),
    )


async def _once(
    store: IdempotencyStore, attempt: Attempt, request: Request, handle: Handler
) -> Response:
    earlier = await store.begin(attempt)
    if earlier is not None:
        return Response(
            earlier.body,
            status_code=earlier.status,
            headers={**earlier.headers, "idempotency-replayed": "true"},
        )
    try:
        response = await _settled(request, handle)
    except CommitUnclear as error:  # the key stays taken, or the next try might do it twice
        raise OutcomeUnknown from error
    except Exception:
        await store.forget(attempt)
        raise
    if response.status_code >= 500 or response.status_code == 429:
        await store.forget(attempt)
    else:
        await store.finish(attempt, _answer(response))
    return response


async def _settled(request: Request, handle: Handler) -> Response:
    """A refusal is an answer like any other: the second request gets the same."""
    try:
        return await handle(request)
    except CommitUnclear:
        raise
    except (DomainError, HTTPException, RequestValidationError) as error:
        return errors.response(errors.of_any(error, request.scope), request.scope)


def _answer(response: Response) -> Answer:
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    return Answer(status=response.status_code, body=bytes(response.body), headers=headers)


def _key(given: str) -> str:
    """The draft's form is a quoted string; most clients send it bare."""
    quoted = _QUOTED.match(given.strip())
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else given.strip()
    if not 1 <= len(key) <= 200 or not key.isascii() or not key.isprintable():
        raise HTTPException(400, "an Idempotency-Key has 1 to 200 printable ASCII characters")
    return key
