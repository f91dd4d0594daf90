"""Which message an id names, whose it is, which chat it belongs to, what its writer is called."""

import re
from dataclasses import dataclass
from typing import Any

from shared.waha.addresses import AddressKind, ChatAddress, is_chat, kind, normalise
from shared.waha.reading import as_dict, clean, dig, name

_PREFIXED = re.compile(r"(true|false)_([^_]*@[^_]*)_(.+)\Z", re.DOTALL)
_PARTICIPANT = re.compile(r"_[^_]*@[^_]*\Z")
_LONGEST = 256
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class MessageId:
    """``{fromMe}_{chat}_{native}[_{participant}]`` taken apart. ``native`` alone names a message:
    the prefix and the chat differ between the events about one message."""

    native: str
    own: bool | None = None
    chat: str | None = None


def read_id(raw: Any) -> MessageId | None:
    """Take a message id apart, in full or bare form, as string or WEBJS object."""
    if isinstance(raw, dict):
        raw = raw.get("_serialized") or raw.get("id") or raw.get("ID")
    if not isinstance(raw, str):
        return None
    full = raw[: _LONGEST * 2].strip()
    own: bool | None = None
    chat: str | None = None
    if found := _PREFIXED.match(full):
        own, chat, full = found[1] == "true", normalise(found[2]), found[3]
    # only the name is cleaned: an address with a NUL in it is nobody's
    native = clean(_PARTICIPANT.sub("", full), _LONGEST).strip()
    return MessageId(native, own, chat) if native else None


def native_of(raw: Any) -> str | None:
    """The bare id, or ``None``."""
    found = read_id(raw)
    return found.native if found else None


@dataclass(frozen=True, slots=True)
class Me:
    """The shop's own addresses, as the envelope names them."""

    addresses: frozenset[str] = frozenset()
    number: ChatAddress | None = None
    """The one of them that shows the number."""

    @classmethod
    def read(cls, envelope: Any) -> "Me":
        me = as_dict(dig(envelope, "me"))
        known = [found for key in ("id", "lid", "jid") if (found := normalise(me.get(key)))]
        number = next((found for found in known if kind(found) is AddressKind.PERSON), None)
        return cls(frozenset(known), number)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message belongs: ``chat`` if one person is behind it, else why it is none."""

    own: bool
    chat: ChatAddress | None
    refusal: str | None = None


_NOT_A_CHAT = (AddressKind.STATUS, AddressKind.GROUP, AddressKind.NEWSLETTER, AddressKind.BROADCAST)


def place(payload: dict[str, Any], message: MessageId | None, me: Me) -> Place:
    """Find the chat of a message or of an event about one.

    One sign of being our own is enough, and one address of a group, story or channel: taking an
    own message for a customer's makes the shop talk to itself, the other way round it is silent.
    """
    inside = message.chat if message else None
    sender = normalise(payload.get("from"))
    receiver = normalise(payload.get("to"))
    named = [address for address in (sender, receiver, inside) if address]
    own = bool(
        payload.get("fromMe") is True or (message and message.own) or (sender in me.addresses)
    )
    for unwanted in _NOT_A_CHAT:
        if any(kind(address) is unwanted for address in named):
            return Place(own, None, unwanted.value)
    order = (receiver, inside, sender) if own else (sender, inside)
    chats = [address for address in order if address and is_chat(address)]
    if not chats:
        return Place(own, None, "unknown_address")
    others = [address for address in chats if address not in me.addresses]
    if not others:
        return Place(own, None, "own_chat")
    return Place(own, ChatAddress(others[0]))


def alternate(payload: dict[str, Any], chat: ChatAddress, *, own: bool, me: Me) -> str | None:
    """The other address of the same person, where the engine names it.

    GOWS says it of the sender, or of the receiver of an own message; NOWEB of the chat.
    """
    info = dig(payload, "_data", "Info")
    candidates = (
        dig(info, "RecipientAlt") if own else dig(info, "SenderAlt"),
        dig(payload, "_data", "key", "remoteJidAlt"),
    )
    for raw in candidates:
        found = normalise(raw)
        if found and is_chat(found) and kind(found) is not kind(chat) and found not in me.addresses:
            return found
    return None


def push_name(payload: dict[str, Any]) -> str | None:
    """What the writer of a message calls themselves; each engine keeps it somewhere else."""
    raw = dig(payload, "_data")
    candidates = (
        dig(raw, "pushName"),  # NOWEB
        dig(raw, "Info", "PushName"),  # GOWS
        dig(raw, "notifyName"),  # WEBJS, and the simulator
    )
    found = next((called for value in candidates if (called := name(value))), "")
    return found[:_LONGEST_NAME].rstrip() or None
