"""From a bearer token to the caller it stands for."""

import hmac
from collections.abc import Callable
from datetime import timedelta
from time import monotonic

from pydantic import SecretStr

from gateway.application.ports.api_keys import ApiKeyStore, StoredKey
from gateway.application.recent import Recent
from gateway.domain.entities.api_key import Caller, Scope
from shared.kernel.errors import Forbidden, Unauthorized
from shared.security import api_keys

KEYS_STAY = timedelta(seconds=10)
"""How long a key that was revoked elsewhere may still work here."""


class TenantSuspended(Forbidden):
    """This tenant is suspended."""

    code = "tenant_suspended"


class Authentication:
    """Knows keys by their HMAC; asks the database about each at most every ten seconds."""

    def __init__(
        self, store: ApiKeyStore, pepper: SecretStr, *, now: Callable[[], float] = monotonic
    ) -> None:
        self._pepper = pepper
        self._keys: Recent[str, StoredKey | None] = Recent(store.find, ttl=KEYS_STAY, now=now)

    async def caller(self, authorization: str | None) -> Caller:
        """Who sends this ``Authorization`` header.

        Raises:
            Unauthorized: no key, or none that is in force; which of the two is not said.
            TenantSuspended: the key is fine, its tenant is not.
        """
        plaintext = _bearer(authorization)
        prefix = api_keys.split(plaintext) if plaintext else None
        if plaintext is None or prefix is None:
            raise Unauthorized("send an API key as 'Authorization: Bearer aip_…'")
        key = await self._keys.get(prefix)
        given = api_keys.digest(plaintext, self._pepper)
        if key is None or not hmac.compare_digest(key.digest, given) or not key.usable:
            raise Unauthorized("this API key is not in force")
        if not key.tenant_active:
            raise TenantSuspended
        return Caller(
            key_id=key.id,
            name=key.name,
            tenant_id=key.tenant_id,
            tenant_slug=key.tenant_slug,
            scopes=frozenset(Scope(name) for name in key.scopes if name in set(Scope)),
        )


def _bearer(authorization: str | None) -> str | None:
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
