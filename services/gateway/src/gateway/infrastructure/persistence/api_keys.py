"""API keys in PostgreSQL. A key is looked up before its tenant is known, so as `ingest`."""

from sqlalchemy import insert, select, text, update

from gateway.application.ports.api_keys import NewKey, StoredKey
from gateway.infrastructure.persistence.tables import api_keys
from shared.kernel.errors import NotFound
from shared.kernel.ids import TenantId
from shared.persistence.database import Database, SystemRole, system_transaction
from shared.persistence.metadata import NOW
from shared.persistence.tables import tenants
from shared.persistence.unit_of_work import Transaction

_FIND = text(
    """
    SELECT k.id, k.name, k.tenant_id, t.slug, coalesce(t.status = 'active', true) AS tenant_active,
           k.digest, k.scopes,
           k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > platform_now())
               AS usable
    FROM api_keys k LEFT JOIN tenants t ON t.id = k.tenant_id
    WHERE k.prefix = :prefix
    """
)
# at most once a minute: who wants to know whether a key is in use does not need the second
_NOTE_USE = text(
    """
    UPDATE api_keys SET last_used_at = platform_now()
    WHERE id = :id AND (last_used_at IS NULL
                        OR last_used_at < platform_now() - interval '1 minute')
    """
)


class SqlApiKeyStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, prefix: str) -> StoredKey | None:
        async with system_transaction(self._database, SystemRole.INGEST) as connection:
            row = (await connection.execute(_FIND, {"prefix": prefix})).one_or_none()
            if row is None:
                return None
            await connection.execute(_NOTE_USE, {"id": row.id})
        return StoredKey(
            id=row.id,
            name=row.name,
            tenant_id=row.tenant_id,
            tenant_slug=row.slug,
            tenant_active=row.tenant_active,
            digest=row.digest,
            scopes=tuple(row.scopes),
            usable=row.usable,
        )

    async def add(self, key: NewKey) -> None:
        row = {
            "id": key.id,
            "tenant_id": key.tenant_id,
            "name": key.name,
            "prefix": key.prefix,
            "digest": key.digest,
            "scopes": [str(scope) for scope in key.scopes],
            "expires_at": key.expires_at,
        }
        if key.tenant_id is None:
            async with system_transaction(self._database, SystemRole.OPERATOR) as connection:
                await connection.execute(insert(api_keys).values(row))
            return
        async with Transaction(self._database, key.tenant_id) as tx:
            found = await tx.connection.execute(
                select(tenants.c.id).where(tenants.c.id == key.tenant_id)
            )
            if found.one_or_none() is None:
                raise NotFound("there is no such tenant")
            await tx.connection.execute(insert(api_keys).values(row))
            await tx.commit()

    async def revoke(self, tenant_id: TenantId | None, prefix: str) -> None:
        statement = (
            update(api_keys)
            .values(revoked_at=NOW)
            .where(
                api_keys.c.prefix == prefix,
                api_keys.c.tenant_id == tenant_id,
                api_keys.c.revoked_at.is_(None),
            )
            .returning(api_keys.c.id)
        )
        if tenant_id is None:
            async with system_transaction(self._database, SystemRole.OPERATOR) as connection:
                revoked = (await connection.execute(statement)).one_or_none()
        else:
            async with Transaction(self._database, tenant_id) as tx:
                revoked = (await tx.connection.execute(statement)).one_or_none()
                await tx.commit()
        if revoked is None:
            raise NotFound("there is no such key in force")
