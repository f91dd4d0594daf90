"""Events as a WAHA server writes them, for the phones that the simulator plays."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from gateway.application.ports.simulated_phone import SimulatedShop

_SHOP_ADDRESS = "628000000000@c.us"
"""The number that a simulated shop has on its customers' phones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The parts of a message that differ by its kind."""

    body: str | None = None
    media: tuple[str, str] | None = None
    """Address and MIME type."""
    location: Mapping[str, Any] | None = None


def message(
    said: Said,
    *,
    shop: SimulatedShop,
    address: str,
    name: str,
    native_id: str,
    event_id: str,
    at: datetime,
) -> bytes:
    """A customer's message."""
    payload: dict[str, Any] = {
        "id": f"false_{address}_{native_id}",
        "timestamp": int(at.timestamp()),
        "from": address,
        "fromMe": False,
        "source": "app",
        "to": _SHOP_ADDRESS,
        "participant": None,
        "body": said.body,
        "hasMedia": said.media is not None,
        "media": None,
        "ack": 2,
        "ackName": "DEVICE",
        "vCards": [],
        "replyTo": None,
        "_data": {"notifyName": name},
    }
    if said.media is not None:
        url, mimetype = said.media
        payload["media"] = {"url": url, "mimetype": mimetype, "filename": None, "error": None}
    if said.location is not None:
        payload["location"] = {"live": False, **said.location}
    return _envelope("message", payload, shop, event_id, at)


def read(
    *, shop: SimulatedShop, address: str, native_id: str, event_id: str, at: datetime
) -> bytes:
    """The customer has read a bubble of the shop."""
    payload: dict[str, Any] = {
        "id": f"true_{address}_{native_id}",
        "from": _SHOP_ADDRESS,
        "to": address,
        "participant": None,
        "fromMe": True,
        "ack": 3,
        "ackName": "READ",
        "_data": {},
    }
    return _envelope("message.ack", payload, shop, event_id, at)


def _envelope(
    event: str, payload: Mapping[str, Any], shop: SimulatedShop, event_id: str, at: datetime
) -> bytes:
    return orjson.dumps(
        {
            "id": f"evt_{event_id.lower()}",
            "timestamp": int(at.timestamp() * 1000),
            "event": event,
            "session": shop.session,
            "metadata": {},
            "me": {"id": _SHOP_ADDRESS, "pushName": shop.name},
            "payload": payload,
            "engine": "SIMULATOR",
            "environment": {"version": "simulator", "engine": "SIMULATOR", "tier": "CORE"},
        }
    )
