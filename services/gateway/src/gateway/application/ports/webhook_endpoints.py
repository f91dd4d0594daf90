"""The addresses that webhooks come in at, and the secrets that sign them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shared.kernel.ids import ChannelId, TenantId


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A channel's webhook. Two secrets while one replaces the other."""

    channel_id: ChannelId
    secrets: tuple[str, ...] = field(repr=False)


class EndpointSource(Protocol):
    async def of_tenant(self, tenant_id: TenantId) -> Sequence[Endpoint] | None:
        """The tenant's active channels by rising id; ``None``: there is no such tenant."""
        ...
