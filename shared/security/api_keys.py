"""API keys: 256 random bits, shown once, kept as an HMAC that is worthless without the pepper."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

from pydantic import SecretStr

from shared.security.crypto import read_secret_key

_FORM = re.compile(r"aip_([a-z0-9]{12})_([A-Za-z0-9_-]{43})\Z")
_PREFIX_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class MintedKey:
    """A new key. ``plaintext`` goes to its owner and nowhere else."""

    plaintext: str = field(repr=False)
    prefix: str
    digest: bytes


def mint(pepper: SecretStr) -> MintedKey:
    """Make a key ``aip_<prefix>_<secret>``; the prefix finds its row."""
    prefix = "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(12))
    plaintext = f"aip_{prefix}_{secrets.token_urlsafe(32)}"
    return MintedKey(plaintext=plaintext, prefix=prefix, digest=digest(plaintext, pepper))


def split(plaintext: str) -> str | None:
    """The prefix of what looks like a key; ``None`` for anything else."""
    match = _FORM.match(plaintext)
    return match[1] if match else None


def digest(plaintext: str, pepper: SecretStr) -> bytes:
    """What is stored instead of the key; compare with `hmac.compare_digest`."""
    key = read_secret_key(pepper, "API_KEY_PEPPER")
    return hmac.new(key, plaintext.encode(), hashlib.sha256).digest()
