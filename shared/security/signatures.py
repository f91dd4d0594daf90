"""Signatures of what comes in and of what goes out."""

import base64
import hmac
import secrets
from collections.abc import Iterable
from typing import Final

_WHSEC: Final = "whsec_"
_WHSEC_BYTES: Final = 32


def hmac_sha512(secret: str, body: bytes) -> str:
    """Lower-case hex, as WAHA puts it into ``X-Webhook-Hmac`` (over the raw body alone)."""
    return hmac.digest(secret.encode(), body, "sha512").hex()


def hmac_sha512_matches(secret: str, body: bytes, signature: str | None) -> bool:
    """Compare in constant time; a missing or unreadable signature never matches."""
    if not signature or not signature.isascii():
        return False
    return hmac.compare_digest(hmac_sha512(secret, body), signature.strip().lower())


def new_standard_secret() -> str:
    """A secret as Standard Webhooks writes it: ``whsec_`` and 256 random bits in base64."""
    return _WHSEC + base64.b64encode(secrets.token_bytes(_WHSEC_BYTES)).decode()


def standard_signature(keys: Iterable[str], *, message_id: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature`` of Standard Webhooks: one ``v1`` for each secret, so that
    a receiver may hold any of them."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    digests = (hmac.digest(_key_of(secret), signed, "sha256") for secret in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def _key_of(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(_WHSEC), validate=True)
