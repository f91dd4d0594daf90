"""A channel's secrets: sealed to their row and column, opened where they are used."""

from dataclasses import dataclass

from commerce_agent.domain.entities.channel import Channel
from commerce_agent.domain.entities.tenant import Tenant
from shared.kernel.ids import ChannelId
from shared.security.crypto import KeyRing, TenantCipher

WEBHOOK_SECRET = "webhook_secret_ciphertext"  # noqa: S105 - a column's name
PREVIOUS_WEBHOOK_SECRET = "previous_webhook_secret_ciphertext"  # noqa: S105 - a column's name
API_KEY = "api_key_ciphertext"


@dataclass(frozen=True, slots=True)
class ChannelSecrets:
    """Seals for the table ``channels`` under the names of its columns.

    Whoever reads the table without this class (the messenger, the webhook route) opens with the
    same place: table ``channels``, the column's own name, the channel's id.
    """

    cipher: TenantCipher

    @classmethod
    def of(cls, tenant: Tenant, keys: KeyRing) -> "ChannelSecrets":
        """The secrets of a tenant's channels. Raises `Undecipherable` under another master key."""
        return cls(keys.tenant(tenant.id, tenant.wrapped_key))

    def seal(self, secret: str, *, column: str, channel_id: ChannelId) -> bytes:
        return self.cipher.seal(secret, table="channels", column=column, row=channel_id)

    def webhook_secret(self, channel: Channel) -> str:
        """What its webhooks are signed with now."""
        return self._open(channel.webhook_secret_ciphertext, WEBHOOK_SECRET, channel.id)

    def api_key(self, channel: Channel) -> str | None:
        """What its server asks for."""
        if channel.api_key_ciphertext is None:
            return None
        return self._open(channel.api_key_ciphertext, API_KEY, channel.id)

    def _open(self, ciphertext: bytes, column: str, channel_id: ChannelId) -> str:
        return self.cipher.open(ciphertext, table="channels", column=column, row=channel_id)
