"""From a bearer token to a caller, and how long a revoked key lives on."""

import base64
import os
from uuid import UUID

import pytest
from pydantic import SecretStr

from gateway.application.ports.api_keys import NewKey, StoredKey
from gateway.application.services.authentication import Authentication, TenantSuspended
from gateway.domain.entities.api_key import Scope
from shared.kernel.errors import Unauthorized
from shared.kernel.ids import TenantId
from shared.security import api_keys

PEPPER = SecretStr(base64.b64encode(os.urandom(32)).decode())
KEY = api_keys.mint(PEPPER)


class Keys:
    """One key, as the database has it."""

    def __init__(self, *, usable: bool = True, active: bool = True) -> None:
        self.usable, self.active = usable, active
        self.asked = 0
        self.now = 0.0

    async def find(self, prefix: str) -> StoredKey | None:
        self.asked += 1
        if prefix != KEY.prefix:
            return None
        return StoredKey(
            id=UUID(int=1),
            name="kasir",
            tenant_id=TenantId(UUID(int=2)),
            tenant_slug="kopi",
            tenant_active=self.active,
            digest=KEY.digest,
            scopes=("products:read", "of:the-future"),
            usable=self.usable,
        )

    async def add(self, key: NewKey) -> None:
        raise AssertionError("nobody adds keys here")

    async def revoke(self, tenant_id: TenantId | None, prefix: str) -> None:
        raise AssertionError("nobody revokes keys here")


def authentication(keys: Keys) -> Authentication:
    return Authentication(keys, PEPPER, now=lambda: keys.now)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_key_is_its_caller(scheme: str) -> None:
    caller = await authentication(Keys()).caller(f"{scheme} {KEY.plaintext}")
    assert caller.tenant_slug == "kopi"
    assert caller.scopes == {Scope.PRODUCTS_READ}


async def test_a_key_is_looked_up_once_in_ten_seconds_and_then_a_revocation_counts() -> None:
    keys = Keys()
    known = authentication(keys)
    await known.caller(f"Bearer {KEY.plaintext}")
    keys.usable = False
    keys.now = 9.9
    await known.caller(f"Bearer {KEY.plaintext}")
    assert keys.asked == 1
    keys.now = 10.0
    with pytest.raises(Unauthorized):
        await known.caller(f"Bearer {KEY.plaintext}")


async def test_the_right_prefix_with_another_secret_is_nobody() -> None:
    other = f"aip_{KEY.prefix}_{'x' * 43}"
    with pytest.raises(Unauthorized):
        await authentication(Keys()).caller(f"Bearer {other}")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic x",
        "Bearer sk-123",
        pytest.param(KEY.plaintext, id="without its scheme"),
    ],
)
async def test_what_is_no_key_is_not_looked_up(header: str | None) -> None:
    keys = Keys()
    with pytest.raises(Unauthorized):
        await authentication(keys).caller(header)
    assert keys.asked == 0


async def test_a_suspended_tenant_is_told_so() -> None:
    with pytest.raises(TenantSuspended):
        await authentication(Keys(active=False)).caller(f"Bearer {KEY.plaintext}")
