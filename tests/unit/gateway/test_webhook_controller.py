"""The webhook's door: slow senders, senders that hang up, an inbox that hangs."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import orjson
import pytest
from starlette.types import Message

from gateway.application.ports.webhook_endpoints import Endpoint
from gateway.application.services.webhook_access import WebhookAccess
from gateway.interface.controllers.crm.webhook_controller import (
    MAX_IN_FLIGHT,
    Room,
    TooBusy,
    WhatsAppWebhook,
)
from shared.inbox import InboxEvent
from shared.kernel.ids import ChannelId, TenantId
from shared.security.signatures import hmac_sha512

TENANT, CHANNEL = UUID(int=1), ChannelId(UUID(int=2))
BODY = b'{"event":"message"}'
SHORT = timedelta(seconds=0.01)


class Endpoints:
    async def of_tenant(self, tenant_id: TenantId) -> list[Endpoint]:
        return [Endpoint(CHANNEL, ("secret",))]


class Inbox:
    def __init__(self, *, hangs: bool = False) -> None:
        self.events: list[InboxEvent] = []
        self.hangs = hangs

    async def accept(self, event: InboxEvent) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        self.events.append(event)


async def knock(
    door: WhatsAppWebhook,
    inbox: Inbox,
    *messages: Message,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> list[Message]:
    """Send a signed request; after ``messages`` the sender says nothing more, for ever."""
    sent: list[Message] = []
    waiting = list(messages)

    async def receive() -> Message:
        if waiting:
            return waiting.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    signature = hmac_sha512("secret", BODY).encode()
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/v1/crm/webhook/whatsapp/{TENANT}",
        "headers": [(b"x-webhook-hmac", signature), *(headers or [])],
        "state": {
            "container": SimpleNamespace(webhook_access=WebhookAccess(Endpoints()), inbox=inbox)
        },
    }
    await door(scope, receive, send)
    return sent


def body(part: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": part, "more_body": more}


def code(sent: list[Message]) -> tuple[int, str]:
    return sent[0]["status"], orjson.loads(sent[1]["body"]).get("code", "")


async def test_a_body_in_pieces_is_one_body() -> None:
    inbox = Inbox()
    pieces = [body(BODY[i : i + 1], more=True) for i in range(len(BODY))]
    sent = await knock(WhatsAppWebhook(), inbox, *pieces, body(b""))
    assert sent[0]["status"] == 200
    assert [event.body for event in inbox.events] == [BODY]
    assert inbox.events[0].endpoint_id == CHANNEL


async def test_a_body_that_never_ends_is_not_waited_for_and_gives_its_place_back() -> None:
    inbox, room = Inbox(), Room(1)
    door = WhatsAppWebhook(room, patience=SHORT)
    assert code(await knock(door, inbox, body(b"x", more=True))) == (408, "request_timeout")
    assert (await knock(door, inbox, body(BODY)))[0]["status"] == 200


def fill(room: Room, tenant: TenantId) -> int:
    """Take all the places that a tenant can get; how many."""
    for taken in range(MAX_IN_FLIGHT + 1):
        try:
            room.enter(tenant)
        except TooBusy:
            return taken
    raise AssertionError("more places than there are")


def test_a_flood_of_one_tenant_leaves_places_to_others() -> None:
    room = Room()
    flooding, quiet = TenantId(uuid4()), TenantId(uuid4())
    assert fill(room, flooding) == MAX_IN_FLIGHT * 3 // 4
    for _ in range(30):
        room.enter(quiet)
    with pytest.raises(TooBusy):
        room.enter(flooding)


def test_floods_of_many_tenants_leave_places_to_another() -> None:
    room = Room()
    floods = [TenantId(uuid4()) for _ in range(20)]
    for _ in range(MAX_IN_FLIGHT):
        for flooding in floods:
            with suppress(TooBusy):
                room.enter(flooding)
    room.enter(TenantId(uuid4()))


def test_there_are_no_more_places_than_there_are() -> None:
    room = Room()
    for _ in range(MAX_IN_FLIGHT):
        room.enter(TenantId(uuid4()))
    with pytest.raises(TooBusy):
        room.enter(TenantId(uuid4()))


def test_places_that_were_given_back_can_be_taken_again() -> None:
    room, tenant = Room(), TenantId(uuid4())
    taken = fill(room, tenant)
    for _ in range(taken):
        room.leave(tenant)
    assert fill(room, tenant) == taken


async def test_a_sender_that_hangs_up_is_not_answered() -> None:
    inbox, room = Inbox(), Room(1)
    door = WhatsAppWebhook(room)
    gone = await knock(door, inbox, body(b"x", more=True), {"type": "http.disconnect"})
    assert gone == []
    assert inbox.events == []
    assert (await knock(door, inbox, body(BODY)))[0]["status"] == 200


async def test_an_inbox_that_hangs_is_503() -> None:
    door = WhatsAppWebhook(patience=SHORT)
    sent = await knock(door, Inbox(hangs=True), body(BODY))
    assert code(sent) == (503, "unavailable")
    assert (b"retry-after", b"1") in sent[0]["headers"]


async def test_only_a_few_headers_are_kept_and_none_without_end() -> None:
    inbox = Inbox()
    headers = [
        (b"x-webhook-request-id", b"r" * 1000),
        (b"authorization", b"Bearer secret"),
        (b"cookie", b"a=b"),
        (b"user-agent", b"WAHA/\xff"),
    ]
    await knock(WhatsAppWebhook(), inbox, body(BODY), headers=headers)
    assert inbox.events[0].headers == {
        "x-webhook-request-id": "r" * 256,
        "user-agent": "WAHA/ÿ",
    }
