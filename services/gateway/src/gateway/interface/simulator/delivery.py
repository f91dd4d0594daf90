"""From a simulated phone to the shop: through the webhook's own door, signed as WAHA signs."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.types import ASGIApp, Message

from gateway.application.ports.simulated_phone import SimulatedShop
from gateway.application.services.simulator_service import Deliver
from gateway.crm.dependencies import container_of
from gateway.interface.controllers.crm.webhook_controller import PREFIX
from shared.kernel.errors import Unavailable
from shared.security.signatures import hmac_sha512


class NotDelivered(Unavailable):
    """The shop's webhook did not accept the message."""

    code = "not_delivered"


def webhook_delivery(request: Request) -> Deliver:
    """Posts to the webhook of the application that serves this request, in process."""
    access = container_of(request).webhook_access

    async def deliver(shop: SimulatedShop, body: bytes) -> None:
        endpoint = await access.endpoint(shop.tenant_id, shop.channel_id)
        headers = {
            "content-type": "application/json",
            "user-agent": "WAHA/simulator",
            "x-webhook-hmac-algorithm": "sha512",
            "x-webhook-hmac": hmac_sha512(endpoint.secrets[0], body),
        }
        path = f"{PREFIX}{shop.tenant_id}/{shop.channel_id}"
        status = await _post(request.state.webhook, path, headers, body, request.scope["state"])
        if status != 200:
            raise NotDelivered(status=status)

    return deliver


Delivery = Annotated[Deliver, Depends(webhook_delivery)]


async def _post(
    app: ASGIApp, path: str, headers: Mapping[str, str], body: bytes, state: Mapping[str, Any]
) -> int:
    status = 0

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": None,
        "server": None,
        "state": dict(state),
    }
    await app(scope, receive, send)
    return status
