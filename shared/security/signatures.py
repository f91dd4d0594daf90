"""Signatures of what comes in."""

import hmac


def hmac_sha512(secret: str, body: bytes) -> str:
    """Lower-case hex, as WAHA puts it into ``X-Webhook-Hmac`` (over the raw body alone)."""
    return hmac.digest(secret.encode(), body, "sha512").hex()


def hmac_sha512_matches(secret: str, body: bytes, signature: str | None) -> bool:
    """Compare in constant time; a missing or unreadable signature never matches."""
    if not signature or not signature.isascii():
        return False
    return hmac.compare_digest(hmac_sha512(secret, body), signature.strip().lower())
