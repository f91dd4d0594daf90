"""API keys are found by their prefix and worthless without the pepper."""

import hmac

import pytest
from pydantic import SecretStr

from shared.security import api_keys
from shared.security.crypto import new_secret_key

PEPPER = SecretStr(new_secret_key())


def test_a_minted_key_is_recognised() -> None:
    key = api_keys.mint(PEPPER)
    assert api_keys.split(key.plaintext) == key.prefix
    assert hmac.compare_digest(api_keys.digest(key.plaintext, PEPPER), key.digest)


def test_another_pepper_gives_another_digest() -> None:
    key = api_keys.mint(PEPPER)
    assert api_keys.digest(key.plaintext, SecretStr(new_secret_key())) != key.digest


def test_no_two_keys_are_alike() -> None:
    keys = [api_keys.mint(PEPPER) for _ in range(100)]
    assert len({key.plaintext for key in keys}) == len({key.prefix for key in keys}) == 100


def test_the_plaintext_is_not_in_the_repr() -> None:
    key = api_keys.mint(PEPPER)
    assert key.plaintext not in repr(key)


@pytest.mark.parametrize(
    "text",
    ["", "aip_", "Bearer x", "aip_abc_def", "aip_abcdefghijkl_" + "x" * 42, "x" * 10_000],
)
def test_what_is_no_key_has_no_prefix(text: str) -> None:
    assert api_keys.split(text) is None
