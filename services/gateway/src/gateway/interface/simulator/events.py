"""A chat that changes while one looks at it: server-sent events.

An event says that something changed, never what: the page reads the chat again. So a lost event
costs a moment, and the poll makes up for a cache that is away.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import orjson
from fastapi import APIRouter, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from gateway.application.listening import Heard, listening
from gateway.application.ports.simulated_phone import SimulatedPhones, SimulatedShop
from gateway.bootstrap import Container
from gateway.crm.dependencies import container_of
from gateway.interface.errors import errors
from gateway.interface.simulator.access import Shop
from shared.kernel.errors import Unavailable

router = APIRouter(tags=["simulator"])

CHANGED = orjson.dumps({"type": "changed"})
_POLL = timedelta(seconds=2)
_LONGEST = timedelta(minutes=10)


def topic(shop: SimulatedShop, address: str) -> str:
    """Where the messenger and the simulator tell of this chat."""
    return f"chat:{shop.tenant_id}:{shop.channel_id}:{address}"


@router.get(
    "/simulator/api/tenants/{tenant}/customers/{address}/events",
    response_class=EventSourceResponse,
    responses=errors(401, 404),
)
async def events(request: Request, shop: Shop, address: str) -> AsyncIterator[ServerSentEvent]:
    """`changed`: read the chat again; `typing` with `{"on": true}`. Ends after ten minutes."""
    async for event in changes(container_of(request), shop, address, lasting=_LONGEST):
        yield event


async def changes(
    container: Container, shop: SimulatedShop, address: str, *, lasting: timedelta
) -> AsyncIterator[ServerSentEvent]:
    """The chat's events for so long, or until the process is told to end."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + lasting.total_seconds()
    phones = container.simulator.phones
    async with listening(container.cache, topic(shop, address)) as heard:
        stamp = await _stamp(phones, shop, address, "")
        yield _changed()
        while loop.time() < ends and not container.stopping.is_set():
            event = await _next(heard)
            if event is not None and event.event == "typing":
                yield event
                continue
            present = await _stamp(phones, shop, address, stamp)
            if event is not None or present != stamp:
                yield _changed()
            stamp = present


async def _next(heard: Heard) -> ServerSentEvent | None:
    """The next thing heard; ``None`` after a while of silence."""
    heard_now = await heard.next(_POLL)
    if heard_now is None:
        return None
    message = orjson.loads(heard_now)
    if message.get("type") == "typing":
        return ServerSentEvent(event="typing", data={"on": bool(message.get("on"))})
    return _changed()


def _changed() -> ServerSentEvent:
    return ServerSentEvent(event="changed", data={})


async def _stamp(phones: SimulatedPhones, shop: SimulatedShop, address: str, known: str) -> str:
    try:
        return await phones.stamp(shop, address)
    except Unavailable:  # the stream outlives the database's restart
        return known
