"""Addresses of one person, and where replies go."""

import pytest

from commerce_agent.domain.services.alias_rules import (
    addresses_of,
    needs_look_up,
    reply_address,
)

PHONE, LID = "6281230000001@c.us", "99887766554433@lid"


@pytest.mark.parametrize(
    ("chat", "alternate", "addresses"),
    [
        (PHONE, None, (PHONE,)),
        (LID, None, (LID,)),
        (LID, PHONE, (PHONE, LID)),
        (PHONE, LID, (PHONE, LID)),
        (PHONE, PHONE, (PHONE,)),
    ],
)
def test_the_phone_address_comes_first(
    chat: str, alternate: str | None, addresses: tuple[str, ...]
) -> None:
    assert addresses_of(chat, alternate) == addresses


def test_only_a_lone_hidden_address_needs_a_look_up() -> None:
    assert needs_look_up(LID, None)
    assert not needs_look_up(LID, PHONE)
    assert not needs_look_up(PHONE, None)


@pytest.mark.parametrize(
    ("latest", "known", "present", "goes_to"),
    [
        (PHONE, (PHONE, LID), LID, PHONE),
        (LID, (PHONE, LID), PHONE, PHONE),
        (LID, (PHONE, LID), LID, PHONE),
        (LID, (LID,), LID, LID),
        ("62899@c.us", ("62899@c.us", PHONE), PHONE, "62899@c.us"),
    ],
)
def test_replies_go_to_the_phone_address_that_was_used_last(
    latest: str, known: tuple[str, ...], present: str, goes_to: str
) -> None:
    assert reply_address(latest, known, present=present) == goes_to
