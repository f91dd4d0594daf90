"""Making and revoking API keys."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr

from gateway.application.ports.api_keys import ApiKeyStore, NewKey
from gateway.domain.entities.api_key import checked_scopes
from shared.kernel.ids import TenantId, new_id
from shared.security import api_keys


@dataclass(frozen=True, slots=True)
class ApiKeyService:
    store: ApiKeyStore
    pepper: SecretStr

    async def create(
        self,
        tenant_id: TenantId | None,
        name: str,
        scopes: Iterable[str],
        *,
        expires_at: datetime | None = None,
    ) -> str:
        """Make a key and return its plaintext, which nobody can ever read again.

        Without a tenant it is an operator's key, whose only scope is ``platform``.

        Raises:
            UnknownScope: a scope does not exist, or does not fit.
            NotFound: there is no such tenant.
        """
        granted = checked_scopes(scopes, operator=tenant_id is None)
        minted = api_keys.mint(self.pepper)
        await self.store.add(
            NewKey(
                id=new_id(),
                tenant_id=tenant_id,
                name=name,
                prefix=minted.prefix,
                digest=minted.digest,
                scopes=granted,
                expires_at=expires_at,
            )
        )
        return minted.plaintext

    async def revoke(self, tenant_id: TenantId | None, prefix: str) -> None:
        """End a key. Gateways that have just used it notice within ten seconds.

        Raises:
            NotFound: this tenant has no such key.
        """
        await self.store.revoke(tenant_id, prefix)
