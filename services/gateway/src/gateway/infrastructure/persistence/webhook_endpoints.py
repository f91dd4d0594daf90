"""Webhook secrets, read across tenants as `ingest` and opened in memory only."""

from collections.abc import Sequence

import structlog
from sqlalchemy import text

from gateway.application.ports.webhook_endpoints import Endpoint
from shared.kernel.ids import ChannelId, TenantId
from shared.persistence.database import Database, SystemRole, system_transaction
from shared.security.crypto import KeyRing, TenantCipher, Undecipherable

log = structlog.get_logger()

_CHANNELS = text(
    """
    SELECT t.wrapped_key, c.id, c.webhook_secret_ciphertext AS present,
           c.previous_webhook_secret_ciphertext AS previous
    FROM tenants t LEFT JOIN channels c ON c.tenant_id = t.id AND c.active
    WHERE t.id = :tenant ORDER BY c.id
    """
)


class SqlEndpointSource:
    def __init__(self, database: Database, keys: KeyRing) -> None:
        self._database = database
        self._keys = keys

    async def of_tenant(self, tenant_id: TenantId) -> Sequence[Endpoint] | None:
        async with system_transaction(self._database, SystemRole.INGEST) as connection:
            rows = (await connection.execute(_CHANNELS, {"tenant": tenant_id})).all()
        if not rows:
            return None
        cipher = self._keys.tenant(tenant_id, rows[0].wrapped_key)
        return [
            Endpoint(ChannelId(row.id), _secrets(cipher, row.id, row.present, row.previous))
            for row in rows
            if row.id is not None
        ]


def _secrets(
    cipher: TenantCipher, channel_id: ChannelId, present: bytes, previous: bytes | None
) -> tuple[str, ...]:
    columns = {
        "webhook_secret_ciphertext": present,
        "previous_webhook_secret_ciphertext": previous,
    }
    secrets = []
    for column, sealed in columns.items():
        if sealed is None:
            continue
        try:
            secrets.append(cipher.open(sealed, table="channels", column=column, row=channel_id))
        except Undecipherable:  # this channel's webhook stays shut; the tenant's others work
            log.error("webhook_secret_undecipherable", channel_id=str(channel_id), column=column)
    return tuple(secrets)
