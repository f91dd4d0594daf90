"""WhatsApp addresses as all engines write them, brought to one form."""

import re
from enum import StrEnum
from typing import Any, NewType

ChatAddress = NewType("ChatAddress", str)
"""``628…@c.us`` or ``…@lid``, lower case, without a device."""


class AddressKind(StrEnum):
    """Who or what is behind an address."""

    PERSON = "person"
    LID = "lid"
    """A person whose number WhatsApp hides."""
    GROUP = "group"
    STATUS = "status"
    NEWSLETTER = "newsletter"
    BROADCAST = "broadcast"
    UNKNOWN = "unknown"


_LONGEST = 128
_USER_OF_PERSON = re.compile(r"[0-9]{6,20}\Z")
_USER = re.compile(r"[0-9a-z.-]{1,64}\Z")
_SERVERS = {"s.whatsapp.net": "c.us"}
_KINDS = {
    "c.us": AddressKind.PERSON,
    "lid": AddressKind.LID,
    "g.us": AddressKind.GROUP,
    "newsletter": AddressKind.NEWSLETTER,
    "broadcast": AddressKind.BROADCAST,
}


def normalise(raw: Any) -> ChatAddress | None:
    """The one form of an address; ``None`` when it is not one.

    ``62811:77@s.whatsapp.net`` is ``62811@c.us``: the internal server is never sent to, and a
    device is not another person. An object is read at ``_serialized``, as WEBJS writes it.
    """
    if isinstance(raw, dict):
        raw = raw.get("_serialized")
    if not isinstance(raw, str) or len(raw) > _LONGEST:
        return None
    user, at, server = raw.strip().lower().partition("@")
    if not at:
        return None
    server = _SERVERS.get(server, server)
    if server in ("c.us", "lid"):
        user = re.split(r"[:_]", user, maxsplit=1)[0]
    address = ChatAddress(f"{user}@{server}")
    return address if _USER.match(user) and kind(address) is not AddressKind.UNKNOWN else None


def kind(address: str) -> AddressKind:
    """What a normalised address names."""
    user, _, server = address.partition("@")
    if address == "status@broadcast":
        return AddressKind.STATUS
    found = _KINDS.get(server, AddressKind.UNKNOWN)
    if found in (AddressKind.PERSON, AddressKind.LID) and not _USER_OF_PERSON.match(user):
        return AddressKind.UNKNOWN
    return found


def is_chat(address: str) -> bool:
    """Whether a single person is behind it, so that the shop may answer."""
    return kind(address) in (AddressKind.PERSON, AddressKind.LID)


def phone_of(address: str) -> str | None:
    """The phone number in E.164 with its plus sign; ``None`` when the address hides it."""
    if kind(address) is not AddressKind.PERSON:
        return None
    return "+" + address.partition("@")[0]


def of_phone(phone: str) -> ChatAddress | None:
    """The address of a phone number written with spaces, dashes or a plus sign."""
    digits = re.sub(r"[\s().+-]", "", phone)
    return normalise(f"{digits}@c.us")
