"""Secrets at rest open where they were sealed and nowhere else."""

from uuid import UUID

import pytest
from pydantic import SecretStr

from shared.kernel.ids import TenantId, new_id
from shared.security.crypto import KeyRing, TenantCipher, Undecipherable, WeakKey, new_secret_key

ROW, OTHER_ROW = new_id(), new_id()
TENANT, OTHER_TENANT = TenantId(new_id()), TenantId(new_id())


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing(SecretStr(new_secret_key()))


@pytest.fixture
def cipher(ring: KeyRing) -> TenantCipher:
    return ring.tenant(TENANT, ring.new_wrapped_key(TENANT))


def test_what_is_sealed_opens_at_its_place(cipher: TenantCipher) -> None:
    sealed = cipher.seal("rahasia ☕", table="channels", column="api_key", row=ROW)
    assert cipher.open(sealed, table="channels", column="api_key", row=ROW) == "rahasia ☕"
    assert b"rahasia" not in sealed


@pytest.mark.parametrize(
    ("table", "column", "row"),
    [
        ("payments", "api_key", ROW),
        ("channels", "webhook_secret", ROW),
        ("channels", "api_key", OTHER_ROW),
    ],
)
def test_moved_to_another_place_it_does_not_open(
    cipher: TenantCipher, table: str, column: str, row: UUID
) -> None:
    sealed = cipher.seal("rahasia", table="channels", column="api_key", row=ROW)
    with pytest.raises(Undecipherable):
        cipher.open(sealed, table=table, column=column, row=row)


def test_another_tenants_key_does_not_open_it(ring: KeyRing, cipher: TenantCipher) -> None:
    other = ring.tenant(OTHER_TENANT, ring.new_wrapped_key(OTHER_TENANT))
    sealed = cipher.seal("rahasia", table="channels", column="api_key", row=ROW)
    with pytest.raises(Undecipherable):
        other.open(sealed, table="channels", column="api_key", row=ROW)


def test_a_wrapped_key_is_bound_to_its_tenant_and_master_key(ring: KeyRing) -> None:
    wrapped = ring.new_wrapped_key(TENANT)
    with pytest.raises(Undecipherable):
        ring.tenant(OTHER_TENANT, wrapped)
    with pytest.raises(Undecipherable):
        KeyRing(SecretStr(new_secret_key())).tenant(TENANT, wrapped)


@pytest.mark.parametrize("position", [0, 1, 13, -1])
def test_an_altered_byte_is_noticed(cipher: TenantCipher, position: int) -> None:
    sealed = bytearray(cipher.seal("rahasia", table="t", column="c", row=ROW))
    sealed[position] ^= 1
    with pytest.raises(Undecipherable):
        cipher.open(bytes(sealed), table="t", column="c", row=ROW)


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" + b"x" * 12, b"\x02" + b"x" * 40])
def test_what_was_never_sealed_is_refused(cipher: TenantCipher, sealed: bytes) -> None:
    with pytest.raises(Undecipherable):
        cipher.open(sealed, table="t", column="c", row=ROW)


def test_the_same_text_never_looks_the_same_twice(cipher: TenantCipher) -> None:
    seals = {cipher.seal("x", table="t", column="c", row=ROW) for _ in range(50)}
    assert len(seals) == 50


@pytest.mark.parametrize("value", ["", "kurz", "A" * 44, "AAAA" * 10])
def test_a_weak_master_key_is_refused_by_name_and_not_shown(value: str) -> None:
    with pytest.raises(WeakKey) as caught:
        KeyRing(SecretStr(value))
    assert "MASTER_KEY" in str(caught.value)
    assert not value or value not in str(caught.value)
