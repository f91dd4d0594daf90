"""WhatsApp's webhooks: check the signature, store the bytes, say 200. Plain ASGI, because this is
the hot route and a framework would cost more than the work itself.

Nothing here looks into the body, so nothing in it can go wrong here.
"""

import re
from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

import orjson
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from gateway.application.services.webhook_access import UnknownEndpoint
from gateway.bootstrap import Container
from gateway.crm.publishers import CRMTaskPublisher
from gateway.interface import errors
from gateway.interface.http.limits import BODY_BYTES, BodyTooSlow, ContentTooLarge, Patience
from shared.inbox import InboxEvent
from shared.kernel.errors import DomainError, Unavailable
from shared.kernel.ids import ChannelId, TenantId

PREFIX = "/v1/crm/webhook/whatsapp/"
ROUTE = PREFIX + "{tenant_id}"

MAX_IN_FLIGHT = 256
_SHARE = 3
"""A tenant may hold so many times the places that are free: alone three quarters of all."""
_PATIENCE = timedelta(seconds=10)
"""For the body to arrive and to be stored."""
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_PATH = re.compile(rf"{PREFIX}({_UUID})(?:/({_UUID}))?\Z")
_KEPT_HEADERS = (
    "content-type",
    "user-agent",
    "x-request-id",
    "x-webhook-request-id",
    "x-webhook-timestamp",
    "x-webhook-hmac-algorithm",
)
_SIGNATURE = "x-webhook-hmac"
_LENGTH = "content-length"
_READ_HEADERS = {name.encode(): name for name in (*_KEPT_HEADERS, _SIGNATURE, _LENGTH)}
_HEADER_LENGTH = 256


class TooBusy(Unavailable):
    """Too many events are being stored at this moment."""

    code = "too_busy"


class ClientGone(Exception):
    """The sender hung up; there is nobody to answer."""


class Room:
    """Bounds how many webhooks are in the house at once, and so the memory they take. Whoever has
    many is refused before whoever has few: a tenant's flood always leaves places to others."""

    def __init__(self, places: int = MAX_IN_FLIGHT) -> None:
        self._free = places
        self._held: dict[TenantId, int] = {}

    def enter(self, tenant_id: TenantId) -> None:
        """Take a place, to be given back with `leave`.

        Raises:
            TooBusy: there is none left for this tenant.
        """
        held = self._held.get(tenant_id, 0)
        if held >= _SHARE * self._free:
            raise TooBusy(retry_after=timedelta(seconds=1))
        self._held[tenant_id] = held + 1
        self._free -= 1

    def leave(self, tenant_id: TenantId) -> None:
        held = self._held.pop(tenant_id)
        if held > 1:
            self._held[tenant_id] = held - 1
        self._free += 1


class WhatsAppWebhook:
    """``POST /v1/crm/webhook/whatsapp/{tenant_id}[/{channel_id}]``."""

    def __init__(self, room: Room | None = None, *, patience: timedelta = _PATIENCE) -> None:
        self._room = room or Room()
        self._patience = patience.total_seconds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["route"] = ROUTE
        try:
            address = _address(scope["path"])
            if scope["method"] != "POST":
                raise HTTPException(405, "webhooks are posted", {"allow": "POST"})
            self._room.enter(address.tenant_id)
            try:
                await self._accept(scope, receive, address.tenant_id, address.channel_id)
            finally:
                self._room.leave(address.tenant_id)
        except ClientGone:
            return
        except (DomainError, HTTPException) as error:
            response = errors.response(errors.of_any(error, scope), scope)
            await response(scope, receive, send)
        else:
            await send(address.start)
            await send(address.body)

    async def _accept(
        self, scope: Scope, receive: Receive, tenant_id: TenantId, channel_id: ChannelId | None
    ) -> None:
        container: Container = scope["state"]["container"]
        headers = _headers(scope["headers"])
        signature = headers.pop(_SIGNATURE, None)
        announced = headers.pop(_LENGTH, "")
        await container.webhook_access.admit(tenant_id, channel_id, signature)
        body: bytes | None = None
        try:
            with Patience(self._patience):
                body = await _body(announced, receive)
                signed_by = await container.webhook_access.verify(
                    tenant_id, channel_id, body, signature
                )
                event = InboxEvent(
                    tenant_id=tenant_id,
                    source="waha",
                    endpoint_id=channel_id or signed_by,
                    body=body,
                    headers=headers,
                )
                await CRMTaskPublisher(container.inbox).publish_webhook_task(event)
        except TimeoutError as error:
            if body is None:
                raise BodyTooSlow from error
            # stored or not, a second delivery of it does no harm
            raise Unavailable("the event could not be stored in time") from error


class _Address(NamedTuple):
    """What a path says, and what it is answered once the event is stored."""

    tenant_id: TenantId
    channel_id: ChannelId | None
    start: Message
    body: Message


@lru_cache(maxsize=10_000)
def _address(path: str) -> _Address:
    match = _PATH.match(path)
    if match is None:
        raise UnknownEndpoint
    tenant_id = TenantId(UUID(match[1]))
    body = orjson.dumps({"status": "queued", "tenant_id": str(tenant_id)})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    return _Address(
        tenant_id,
        ChannelId(UUID(match[2])) if match[2] else None,
        {"type": "http.response.start", "status": 200, "headers": headers},
        {"type": "http.response.body", "body": body},
    )


def _headers(given: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Those that we read. The first of each name counts, shortened; latin-1 reads any bytes."""
    headers: dict[str, str] = {}
    for raw, value in given:
        name = _READ_HEADERS.get(raw)
        if name is not None and name not in headers:
            headers[name] = value[:_HEADER_LENGTH].decode("latin-1")
    return headers


async def _body(announced: str, receive: Receive) -> bytes:
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
