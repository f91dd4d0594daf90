"""Addresses in every form the engines write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.waha.addresses import AddressKind, is_chat, kind, normalise, of_phone, phone_of


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("6281230001@c.us", "6281230001@c.us"),
        ("6281230001@s.whatsapp.net", "6281230001@c.us"),
        ("6281230001:77@s.whatsapp.net", "6281230001@c.us"),
        ("6281230001_1:12@s.whatsapp.net", "6281230001@c.us"),
        (" 6281230001@C.US ", "6281230001@c.us"),
        ("99000000000001:5@lid", "99000000000001@lid"),
        ("120363000000000001@g.us", "120363000000000001@g.us"),
        ("6281230001-1600000000@g.us", "6281230001-1600000000@g.us"),
        ("status@broadcast", "status@broadcast"),
        ("1700000000@broadcast", "1700000000@broadcast"),
        ("120363000000000002@newsletter", "120363000000000002@newsletter"),
        ({"_serialized": "6281230001@c.us", "user": "6281230001"}, "6281230001@c.us"),
    ],
)
def test_one_form_for_every_way_to_write_it(raw: object, expected: str) -> None:
    assert normalise(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        None,
        7,
        True,
        [],
        {},
        "",
        "6281230001",
        "@c.us",
        "0@c.us",
        "abc@c.us",
        "٦٢٨١٢٣٠٠٠١@c.us",
        "6281230001@example.com",
        "6281230001@c.us@c.us",
        "62/../@c.us",
        "6281230001\x00@c.us",
        "6" * 200 + "@c.us",
    ],
)
def test_what_is_no_address_is_none(raw: object) -> None:
    assert normalise(raw) is None


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("6281230001@c.us", AddressKind.PERSON),
        ("99000000000001@lid", AddressKind.LID),
        ("120363@g.us", AddressKind.GROUP),
        ("status@broadcast", AddressKind.STATUS),
        ("170@broadcast", AddressKind.BROADCAST),
        ("12@newsletter", AddressKind.NEWSLETTER),
        ("12@elsewhere", AddressKind.UNKNOWN),
        ("12", AddressKind.UNKNOWN),
    ],
)
def test_an_address_says_what_it_names(address: str, expected: AddressKind) -> None:
    assert kind(address) is expected
    assert is_chat(address) == (expected in (AddressKind.PERSON, AddressKind.LID))


def test_a_phone_number_shows_only_in_a_persons_address() -> None:
    assert phone_of("6281230001@c.us") == "+6281230001"
    assert phone_of("99000000000001@lid") is None
    assert phone_of("120363@g.us") is None


def test_a_phone_number_becomes_an_address() -> None:
    assert of_phone("+62 812-3000-1") == "6281230001@c.us"
    assert of_phone("not a number") is None


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing(raw: str) -> None:
    once = normalise(raw)
    assert once is None or normalise(once) == once
