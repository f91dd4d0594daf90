"""Secrets at rest: AES-256-GCM under a key of each tenant, which the master key wraps.

What is sealed is bound to its place (tenant, table, column, row): copied to another row, another
column or another tenant it no longer opens. NIST SP 800-38D; nonces are random, 96 bits.
"""

import base64
import binascii
import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from shared.kernel.errors import DomainError
from shared.kernel.ids import TenantId

_VERSION = b"\x01"
_NONCE_BYTES = 12
_KEY_BYTES = 32


class Undecipherable(DomainError):
    """A stored secret does not open with this key at this place."""

    code = "undecipherable"


class WeakKey(ValueError):
    """A configured key is not 32 bytes in base64."""


def new_secret_key() -> str:
    """32 random bytes in base64, as MASTER_KEY and API_KEY_PEPPER are written."""
    return base64.b64encode(os.urandom(_KEY_BYTES)).decode()


def read_secret_key(value: SecretStr, name: str) -> bytes:
    """The bytes of a key that was configured as base64.

    Raises:
        WeakKey: it is something else; the message says ``name`` and not the value.
    """
    try:
        key = base64.b64decode(value.get_secret_value(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise WeakKey(f"{name} must be {_KEY_BYTES} random bytes in base64")
    return key


class KeyRing:
    """Holds the master key and opens tenants' keys with it."""

    def __init__(self, master_key: SecretStr) -> None:
        self._master = AESGCM(read_secret_key(master_key, "MASTER_KEY"))

    def new_wrapped_key(self, tenant_id: TenantId) -> bytes:
        """Make a tenant's key; only its wrapped form ever leaves."""
        return _encrypt(self._master, os.urandom(_KEY_BYTES), _key_place(tenant_id))

    def tenant(self, tenant_id: TenantId, wrapped_key: bytes) -> "TenantCipher":
        """Open a tenant's key.

        Raises:
            Undecipherable: it was wrapped by another master key, or for another tenant.
        """
        return TenantCipher(tenant_id, _decrypt(self._master, wrapped_key, _key_place(tenant_id)))


class TenantCipher:
    """Seals and opens one tenant's secrets."""

    def __init__(self, tenant_id: TenantId, key: bytes) -> None:
        self._tenant_id = tenant_id
        self._cipher = AESGCM(key)

    def seal(self, plaintext: str, *, table: str, column: str, row: UUID) -> bytes:
        """Encrypt for exactly this place."""
        return _encrypt(self._cipher, plaintext.encode(), self._place(table, column, row))

    def open(self, ciphertext: bytes, *, table: str, column: str, row: UUID) -> str:
        """Decrypt what was sealed for this place.

        Raises:
            Undecipherable: it was sealed for another place, or altered.
        """
        return _decrypt(self._cipher, ciphertext, self._place(table, column, row)).decode()

    def _place(self, table: str, column: str, row: UUID) -> bytes:
        return f"{self._tenant_id}|{table}|{column}|{row}".encode()


def _key_place(tenant_id: TenantId) -> bytes:
    return f"{tenant_id}|tenants|wrapped_key".encode()


def _encrypt(cipher: AESGCM, plaintext: bytes, place: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return _VERSION + nonce + cipher.encrypt(nonce, plaintext, place)


def _decrypt(cipher: AESGCM, sealed: bytes, place: bytes) -> bytes:
    version, nonce, body = sealed[:1], sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    if version != _VERSION or len(nonce) != _NONCE_BYTES:
        raise Undecipherable
    try:
        return cipher.decrypt(nonce, body, place)
    except InvalidTag as error:
        raise Undecipherable from error
