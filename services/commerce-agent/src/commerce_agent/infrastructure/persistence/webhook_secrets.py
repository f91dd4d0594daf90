"""Secrets of webhooks in SQL, sealed to their row and column."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.application.ports.webhook_secrets import OVERLAP, WebhookSecretStatus
from commerce_agent.domain.entities.tenant import TenantNotFound
from shared.kernel.ids import TenantId
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction
from shared.security.crypto import KeyRing, TenantCipher
from shared.security.signatures import new_standard_secret

_TENANT = bindparam("tenant", type_=PG_UUID)
_TABLE: Final = "webhook_secrets"
_SECRET: Final = "secret_ciphertext"  # noqa: S105 - a column's name
_PREVIOUS: Final = "previous_secret_ciphertext"

_WRAPPED_KEY = text("SELECT wrapped_key FROM tenants WHERE id = :tenant").bindparams(_TENANT)
_READ = text(
    """
    SELECT secret_ciphertext, previous_secret_ciphertext, created_at, previous_valid_until,
           previous_valid_until > platform_now() AS overlaps
    FROM webhook_secrets WHERE tenant_id = :tenant
    """
).bindparams(_TENANT)
_READ_LOCKED = text(f"{_READ.text} FOR UPDATE").bindparams(_TENANT)
_MAKE = text(
    """
    INSERT INTO webhook_secrets (tenant_id, secret_ciphertext) VALUES (:tenant, :secret)
    ON CONFLICT (tenant_id) DO NOTHING
    """
).bindparams(_TENANT)
_ROTATE = text(
    """
    UPDATE webhook_secrets
    SET secret_ciphertext = :secret, previous_secret_ciphertext = :previous,
        created_at = platform_now(), previous_valid_until = platform_now() + :overlap
    WHERE tenant_id = :tenant
    """
).bindparams(_TENANT)


@dataclass(frozen=True, slots=True)
class SqlWebhookSecrets:
    """Keeps the promises of `WebhookSecrets`."""

    database: Database
    keys: KeyRing

    async def status(self, tenant_id: TenantId) -> WebhookSecretStatus:
        async with Transaction(self.database, tenant_id) as tx:
            return await _status(tx.connection, tenant_id)

    async def rotate(self, tenant_id: TenantId) -> tuple[str, WebhookSecretStatus]:
        secret, about = new_standard_secret(), {"tenant": tenant_id}
        async with Transaction(self.database, tenant_id) as tx:
            cipher = await _cipher(tx.connection, tenant_id, self.keys)
            sealed = cipher.seal(secret, table=_TABLE, column=_SECRET, row=tenant_id)
            made = await tx.connection.execute(_MAKE, about | {"secret": sealed})
            if not made.rowcount:
                row = (await tx.connection.execute(_READ_LOCKED, about)).one()
                present = cipher.open(
                    row.secret_ciphertext, table=_TABLE, column=_SECRET, row=tenant_id
                )
                previous = cipher.seal(present, table=_TABLE, column=_PREVIOUS, row=tenant_id)
                changes = {"secret": sealed, "previous": previous, "overlap": OVERLAP}
                await tx.connection.execute(_ROTATE, about | changes)
            status = await _status(tx.connection, tenant_id)
            await tx.commit()
        return secret, status


async def signing_secrets(
    connection: AsyncConnection, tenant_id: TenantId, keys: KeyRing
) -> list[str]:
    """What is signed with now, the present secret first; made when there is none, as nobody was
    shown it yet."""
    cipher = await _cipher(connection, tenant_id, keys)
    about = {"tenant": tenant_id}
    row = (await connection.execute(_READ, about)).one_or_none()
    if row is None:
        made = cipher.seal(new_standard_secret(), table=_TABLE, column=_SECRET, row=tenant_id)
        await connection.execute(_MAKE, about | {"secret": made})
        row = (await connection.execute(_READ, about)).one()
    found = [cipher.open(row.secret_ciphertext, table=_TABLE, column=_SECRET, row=tenant_id)]
    if row.overlaps:
        sealed = row.previous_secret_ciphertext
        found.append(cipher.open(sealed, table=_TABLE, column=_PREVIOUS, row=tenant_id))
    return found


async def _status(connection: AsyncConnection, tenant_id: TenantId) -> WebhookSecretStatus:
    row = (await connection.execute(_READ, {"tenant": tenant_id})).one_or_none()
    return WebhookSecretStatus(
        created_at=None if row is None else row.created_at,
        previous_valid_until=row.previous_valid_until if row is not None and row.overlaps else None,
    )


async def _cipher(connection: AsyncConnection, tenant_id: TenantId, keys: KeyRing) -> TenantCipher:
    wrapped = await connection.scalar(_WRAPPED_KEY, {"tenant": tenant_id})
    if wrapped is None:
        raise TenantNotFound
    return keys.tenant(tenant_id, wrapped)
