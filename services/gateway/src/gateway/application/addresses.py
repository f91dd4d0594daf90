"""How the outside reaches this gateway."""

from dataclasses import dataclass

from gateway.application.ports.simulated_phone import SimulatedShop
from shared.kernel.ids import ChannelId, TenantId


@dataclass(frozen=True, slots=True)
class PublicAddresses:
    """Built from the settings, never from what a request says of its host."""

    base_url: str

    def webhook(self, tenant_id: TenantId, channel_id: ChannelId) -> str:
        """Where WAHA sends a channel's events."""
        return f"{self.base_url}/v1/crm/webhook/whatsapp/{tenant_id}/{channel_id}"

    def media(self, shop: SimulatedShop, native_id: str) -> str:
        """Where a picture of a simulated chat lies."""
        return f"{self.base_url}/simulator/api/tenants/{shop.slug}/media/{native_id}"
