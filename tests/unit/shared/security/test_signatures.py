"""WAHA's signature covers the raw body; the vector is from its documentation."""

import pytest

from shared.security.signatures import hmac_sha512, hmac_sha512_matches

SECRET = "my-secret-key"
BODY = b'{"event":"message","session":"default","engine":"WEBJS"}'
SIGNATURE = (
    "208f8a55dde9e05519e898b10b89bf0d0b3b0fdf11fdbf09b6b90476301b98d8"
    "097c462b2b17a6ce93b6b47a136cf2e78a33a63f6752c2c1631777076153fa89"
)


def test_the_documented_vector() -> None:
    assert hmac_sha512(SECRET, BODY) == SIGNATURE
    assert hmac_sha512_matches(SECRET, BODY, SIGNATURE)
    assert hmac_sha512_matches(SECRET, BODY, SIGNATURE.upper())


@pytest.mark.parametrize(
    "signature",
    [None, "", SIGNATURE[:-1], SIGNATURE + "0", "0" * 128, "ü" * 128, hmac_sha512("other", BODY)],
)
def test_anything_else_is_refused(signature: str | None) -> None:
    assert not hmac_sha512_matches(SECRET, BODY, signature)


def test_one_changed_bit_of_the_body_is_refused() -> None:
    changed = bytes([BODY[0] ^ 1]) + BODY[1:]
    assert not hmac_sha512_matches(SECRET, changed, SIGNATURE)
