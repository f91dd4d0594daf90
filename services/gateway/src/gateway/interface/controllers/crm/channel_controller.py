"""A shop's WhatsApp numbers. Secrets are shown once, when they are made."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from commerce_agent.domain.entities.channel import ChannelKind
from gateway.crm.dependencies import Addresses, ChannelList, Channels, TenantFor
from gateway.domain.entities.api_key import Scope
from gateway.interface.errors import errors
from gateway.interface.http.api_route import ApiRoute
from gateway.interface.schemas.channels import (
    ChannelAnswer,
    ChannelCreate,
    ChannelCreated,
    ChannelUpdate,
    NewSecret,
)
from gateway.interface.schemas.common import (
    Cursor,
    Limit,
    PageOf,
    expected_version,
    page_of,
    tagged,
)
from shared.kernel.ids import ChannelId, TenantId

router = APIRouter(
    prefix="/v1/crm/tenants/{tenant_id}/channels", tags=["channels"], route_class=ApiRoute
)

Reader = Annotated[TenantId, Depends(TenantFor(Scope.CHANNELS_READ))]
Writer = Annotated[TenantId, Depends(TenantFor(Scope.CHANNELS_WRITE))]
Expected = Annotated[int | None, Depends(expected_version)]


@router.post("", status_code=201, responses=errors(409))
async def create_channel(
    body: ChannelCreate,
    tenant: Writer,
    channels: Channels,
    rows: ChannelList,
    addresses: Addresses,
    response: Response,
) -> ChannelCreated:
    """Connect a number. Put `webhook_url` and `webhook_secret` into WAHA's webhook settings."""
    fields = body.model_dump(exclude={"kind"})
    channel, secret = await channels.create(tenant, kind=ChannelKind(body.kind), **fields)
    row = await rows.get(tenant, channel.id)
    tagged(response, row.version)
    response.headers["location"] = f"/v1/crm/tenants/{tenant}/channels/{channel.id}"
    return ChannelCreated(
        **vars(ChannelAnswer.model_validate(row))
        | {"webhook_url": addresses.webhook(tenant, channel.id), "webhook_secret": secret}
    )


@router.get("")
async def list_channels(
    tenant: Reader,
    rows: ChannelList,
    addresses: Addresses,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageOf[ChannelAnswer]:
    """The shop's numbers, oldest first."""
    page = await rows.list(tenant, limit=limit, cursor=cursor)
    return page_of(page, lambda row: _answer(row, addresses.webhook(tenant, row.id)))


@router.get("/{channel_id}")
async def get_channel(
    channel_id: ChannelId,
    tenant: Reader,
    rows: ChannelList,
    addresses: Addresses,
    response: Response,
) -> ChannelAnswer:
    """One number, and whether it works."""
    row = await rows.get(tenant, channel_id)
    tagged(response, row.version)
    return _answer(row, addresses.webhook(tenant, channel_id))


@router.patch("/{channel_id}", responses=errors(409, 412))
async def update_channel(
    channel_id: ChannelId,
    body: ChannelUpdate,
    tenant: Writer,
    channels: Channels,
    rows: ChannelList,
    addresses: Addresses,
    expected: Expected,
    response: Response,
) -> ChannelAnswer:
    """Change a number's settings; `active: false` closes its webhook."""
    await channels.update(tenant, channel_id, **body.changes(), expected_version=expected)
    return await get_channel(channel_id, tenant, rows, addresses, response)


@router.post("/{channel_id}/rotate-secret")
async def rotate_secret(
    channel_id: ChannelId, tenant: Writer, channels: Channels, addresses: Addresses
) -> NewSecret:
    """Make a new webhook secret. Both are accepted until `end-rotation`."""
    secret = await channels.rotate_secret(tenant, channel_id)
    return NewSecret(webhook_url=addresses.webhook(tenant, channel_id), webhook_secret=secret)


@router.post("/{channel_id}/end-rotation")
async def end_rotation(
    channel_id: ChannelId,
    tenant: Writer,
    channels: Channels,
    rows: ChannelList,
    addresses: Addresses,
    response: Response,
) -> ChannelAnswer:
    """Refuse the secret before the present one from now on."""
    await channels.end_rotation(tenant, channel_id)
    return await get_channel(channel_id, tenant, rows, addresses, response)


def _answer(row: object, webhook_url: str) -> ChannelAnswer:
    return ChannelAnswer.model_validate(row).model_copy(update={"webhook_url": webhook_url})
