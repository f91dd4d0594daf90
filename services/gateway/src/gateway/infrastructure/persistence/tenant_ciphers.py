"""Each tenant's own key, found before a unit of work is opened."""

from datetime import timedelta

from sqlalchemy import text

from gateway.application.recent import Recent
from shared.kernel.errors import NotFound
from shared.kernel.ids import TenantId
from shared.persistence.database import Database, SystemRole, system_transaction
from shared.security.crypto import KeyRing, TenantCipher

_WRAPPED_KEY = text("SELECT wrapped_key FROM tenants WHERE id = :id")
_STAYS = timedelta(minutes=10)


class TenantCiphers:
    """Opens a tenant's key once in ten minutes; the key itself never changes."""

    def __init__(self, database: Database, keys: KeyRing) -> None:
        self._database = database
        self._keys = keys
        self._known: Recent[TenantId, TenantCipher | None] = Recent(self._read, ttl=_STAYS)

    async def of(self, tenant_id: TenantId) -> TenantCipher:
        """Raises NotFound when there is no such tenant."""
        cipher = await self._known.get(tenant_id)
        if cipher is None:
            raise NotFound("there is no such tenant")
        return cipher

    async def _read(self, tenant_id: TenantId) -> TenantCipher | None:
        async with system_transaction(self._database, SystemRole.INGEST) as connection:
            wrapped = await connection.scalar(_WRAPPED_KEY, {"id": tenant_id})
        return None if wrapped is None else self._keys.tenant(tenant_id, wrapped)
