"""Ids and places: the same message has many names, the same chat two addresses."""

from typing import Any

import pytest

from shared.waha.identity import Me, alternate, place, read_id

CUSTOMER = "6281230001@c.us"
LID = "99000000000001@lid"
SHOP = "6281110001@c.us"
ME = Me(frozenset({SHOP, "77000000000001@lid"}), SHOP)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "native", "own", "chat"),
    [
        ("false_6281230001@c.us_3EB0AA", "3EB0AA", False, CUSTOMER),
        ("true_6281230001@c.us_3EB0AA", "3EB0AA", True, CUSTOMER),
        ("true_99000000000001@lid_3EB0AA", "3EB0AA", True, LID),
        ("false_120363@g.us_3EB0AA_6281230001@c.us", "3EB0AA", False, "120363@g.us"),
        ("false_120363@g.us_3EB0AA_99000000000001@lid", "3EB0AA", False, "120363@g.us"),
        ("false_status@broadcast_3EB0AA_628@c.us", "3EB0AA", False, "status@broadcast"),
        ("3EB0AA", "3EB0AA", None, None),
        ("3EB0AA_6281230001@c.us", "3EB0AA", None, None),
        ("false_6281230001@c.us_3EB0_AA", "3EB0_AA", False, CUSTOMER),
        ({"_serialized": "true_6281230001@c.us_3EB0AA", "id": "x"}, "3EB0AA", True, CUSTOMER),
        ({"id": "3EB0AA"}, "3EB0AA", None, None),
    ],
)
def test_an_id_is_taken_apart(raw: Any, native: str, own: bool | None, chat: str | None) -> None:
    found = read_id(raw)
    assert found is not None
    assert (found.native, found.own, found.chat) == (native, own, chat)


@pytest.mark.parametrize("raw", [None, "", " ", 7, [], {}, "\x00", {"id": None}])
def test_no_id_is_none(raw: Any) -> None:
    assert read_id(raw) is None


@pytest.mark.parametrize(
    ("payload", "id", "chat"),
    [
        ({"from": CUSTOMER, "fromMe": False}, f"false_{CUSTOMER}_X", CUSTOMER),
        ({"from": CUSTOMER, "to": None, "fromMe": True}, f"true_{CUSTOMER}_X", CUSTOMER),
        ({"from": SHOP, "to": CUSTOMER, "fromMe": True}, f"true_{CUSTOMER}_X", CUSTOMER),
        ({"from": SHOP, "to": None, "fromMe": True}, f"true_{CUSTOMER}_X", CUSTOMER),
        ({"from": CUSTOMER, "fromMe": False}, f"false_{LID}_X", CUSTOMER),
        ({"from": SHOP, "to": CUSTOMER, "fromMe": True}, f"true_{SHOP}_X", CUSTOMER),
        ({"from": None, "fromMe": False}, f"false_{CUSTOMER}_X", CUSTOMER),
    ],
)
def test_the_chat_is_the_other_person(payload: dict[str, Any], id: str, chat: str) -> None:
    found = place(payload, read_id(id), ME)
    assert (found.chat, found.own) == (chat, payload["fromMe"])


@pytest.mark.parametrize(
    ("payload", "id"),
    [
        ({"from": CUSTOMER, "fromMe": True}, f"false_{CUSTOMER}_X"),
        ({"from": CUSTOMER, "fromMe": False}, f"true_{CUSTOMER}_X"),
        ({"from": SHOP, "to": CUSTOMER, "fromMe": False}, f"false_{CUSTOMER}_X"),
    ],
)
def test_one_sign_of_being_our_own_is_enough(payload: dict[str, Any], id: str) -> None:
    """Otherwise the shop might answer itself."""
    found = place(payload, read_id(id), ME)
    assert (found.own, found.chat) == (True, CUSTOMER)


@pytest.mark.parametrize(
    ("payload", "id", "refusal"),
    [
        ({"from": "120363@g.us"}, f"false_120363@g.us_X_{CUSTOMER}", "group"),
        ({"from": CUSTOMER}, f"false_120363@g.us_X_{CUSTOMER}", "group"),
        ({"from": "120363@g.us", "fromMe": False}, "true_120363@g.us_X", "group"),
        ({"from": CUSTOMER, "to": "status@broadcast"}, "X", "status"),
        ({"from": "status@broadcast", "participant": CUSTOMER}, "X", "status"),
        ({"from": "1700@broadcast"}, "X", "broadcast"),
        ({"from": "12@newsletter"}, "X", "newsletter"),
        ({"from": "0@c.us"}, "X", "unknown_address"),
        ({}, "X", "unknown_address"),
        ({"from": SHOP, "to": SHOP, "fromMe": True}, f"true_{SHOP}_X", "own_chat"),
    ],
)
def test_what_is_no_chat_with_one_person_has_a_reason(
    payload: dict[str, Any], id: str, refusal: str
) -> None:
    found = place(payload, read_id(id), ME)
    assert (found.chat, found.refusal) == (None, refusal)


@pytest.mark.parametrize(
    ("data", "own", "expected"),
    [
        ({"Info": {"SenderAlt": "6281230001:77@s.whatsapp.net"}}, False, CUSTOMER),
        ({"key": {"remoteJidAlt": "6281230001@s.whatsapp.net"}}, False, CUSTOMER),
        ({"key": {"remoteJidAlt": "6281230001@s.whatsapp.net"}}, True, CUSTOMER),
        ({"Info": {"RecipientAlt": "6281230001@s.whatsapp.net"}}, True, CUSTOMER),
        ({"Info": {"SenderAlt": "6281230001@s.whatsapp.net"}}, True, None),
        ({"Info": {"SenderAlt": SHOP}}, False, None),
        ({"Info": {"SenderAlt": "5@lid"}}, False, None),
        ({"Info": {"SenderAlt": "120363@g.us"}}, False, None),
        ({}, False, None),
        ("garbage", False, None),
    ],
)
def test_the_other_address_of_a_person_is_found_where_the_engine_says_it(
    data: Any, own: bool, expected: str | None
) -> None:
    found = alternate({"_data": data}, LID, own=own, me=ME)  # type: ignore[arg-type]
    assert found == expected


def test_an_address_with_a_nul_in_an_id_is_nobodys() -> None:
    found = read_id("false_62811000111\0@c.us_AB\0CD")

    assert found is not None
    assert (found.native, found.own, found.chat) == ("ABCD", False, None)
