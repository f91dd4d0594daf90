"""WhatsApp's webhooks: check the signature, store the bytes, say 200. Plain ASGI, because this is
the hot route and a framework would cost more than the work itself.

Nothing here looks into the body, so nothing in it can go wrong here.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import cast
from uuid import UUID

import orjson
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from gateway.application.services.webhook_access import UnknownEndpoint
from gateway.bootstrap import Container
from gateway.crm.publishers import get_crm_publisher
from gateway.interface import errors
from gateway.interface.http.limits import BODY_BYTES, BodyTooSlow, ContentTooLarge
from shared.inbox import InboxEvent
from shared.kernel.errors import DomainError, Unavailable
from shared.kernel.ids import ChannelId, TenantId

log = structlog.get_logger()

PREFIX = "/v1/crm/webhook/whatsapp/"
ROUTE = PREFIX + "{tenant_id}"

MAX_IN_FLIGHT = 256
_PATIENCE = timedelta(seconds=10)
"""For the body to arrive, and again for it to be stored."""
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_PATH = re.compile(rf"{PREFIX}({_UUID})(?:/({_UUID}))?\Z")
_KEPT_HEADERS = frozenset(
    {
        "content-type",
        "user-agent",
        "x-request-id",
        "x-webhook-request-id",
        "x-webhook-timestamp",
        "x-webhook-hmac-algorithm",
    }
)
_HEADER_LENGTH = 256


class TooBusy(Unavailable):
    """Too many events are being stored at this moment."""

    code = "too_busy"


class ClientGone(Exception):
    """The sender hung up; there is nobody to answer."""


class Room:
    """Bounds how many webhooks are in the house at once, and so the memory they take."""

    def __init__(self, places: int = MAX_IN_FLIGHT) -> None:
        self._free = places

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Raises TooBusy when there is none left."""
        if self._free == 0:
            raise TooBusy(retry_after=timedelta(seconds=1))
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


class WhatsAppWebhook:
    """``POST /v1/crm/webhook/whatsapp/{tenant_id}[/{channel_id}]``."""

    def __init__(self, room: Room | None = None, *, patience: timedelta = _PATIENCE) -> None:
        self._room = room or Room()
        self._patience = patience.total_seconds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["route"] = ROUTE
        try:
            response = await self._answer(scope, receive)
        except ClientGone:
            return
        except (DomainError, HTTPException) as error:
            response = errors.response(errors.of_any(error, scope), scope)
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        tenant_id, channel_id = _address(scope)
        if scope["method"] != "POST":
            raise HTTPException(405, "webhooks are posted", {"allow": "POST"})
        async with self._room.place():
            await self._accept(scope, receive, tenant_id, channel_id)
        return Response(
            orjson.dumps({"status": "queued", "tenant_id": str(tenant_id)}),
            media_type="application/json",
        )

    async def _accept(
        self, scope: Scope, receive: Receive, tenant_id: TenantId, channel_id: ChannelId | None
    ) -> None:
        connection = HTTPConnection(scope)
        access = cast(Container, connection.state.container).webhook_access
        headers = _headers(scope)
        signature = headers.get("x-webhook-hmac")
        await access.admit(tenant_id, channel_id, signature)
        try:
            async with asyncio.timeout(self._patience):
                body = await _body(headers, receive)
        except TimeoutError as error:
            raise BodyTooSlow from error
        signed_by = await access.verify(tenant_id, channel_id, body, signature)
        event = InboxEvent(
            tenant_id=tenant_id,
            source="waha",
            endpoint_id=channel_id or signed_by,
            body=body,
            headers={name: value for name, value in headers.items() if name in _KEPT_HEADERS},
        )
        try:
            async with asyncio.timeout(self._patience):
                await get_crm_publisher(connection).publish_webhook_task(event)
        except TimeoutError as error:  # stored or not, a second delivery of it does no harm
            raise Unavailable("the event could not be stored in time") from error


def _address(scope: Scope) -> tuple[TenantId, ChannelId | None]:
    match = _PATH.match(scope["path"])
    if match is None:
        raise UnknownEndpoint
    return TenantId(UUID(match[1])), ChannelId(UUID(match[2])) if match[2] else None


def _headers(scope: Scope) -> Mapping[str, str]:
    """The first of each name counts, shortened; latin-1 reads any bytes."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1"), value[:_HEADER_LENGTH].decode("latin-1"))
    return headers


async def _body(headers: Mapping[str, str], receive: Receive) -> bytes:
    announced = headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > BODY_BYTES:
        raise ContentTooLarge(BODY_BYTES)
    chunks: list[bytes] = []
    size = 0
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > BODY_BYTES:
            raise ContentTooLarge(BODY_BYTES)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
