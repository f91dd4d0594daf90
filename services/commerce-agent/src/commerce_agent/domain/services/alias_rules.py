"""Which addresses belong to one person, and where replies go.

A person is known to WhatsApp by a phone address (``628…@c.us``) and by a hidden one (``…@lid``).
That two of them are one person is believed only when WhatsApp says so: by the engine's alternate
field or by its look-up of hidden ids.
"""

from collections.abc import Iterable

from commerce_agent.domain.entities.customer import Customer

PHONE_SUFFIX = "@c.us"
HIDDEN_SUFFIX = "@lid"


def addresses_of(chat: str, alternate: str | None) -> tuple[str, ...]:
    """The addresses of the person behind a chat, the one replies go to first."""
    known = dict.fromkeys(address for address in (chat, alternate) if address)
    return tuple(sorted(known, key=lambda address: not address.endswith(PHONE_SUFFIX)))


def needs_look_up(chat: str, alternate: str | None) -> bool:
    """Whether only the hidden address is known."""
    return chat.endswith(HIDDEN_SUFFIX) and alternate is None


def reply_address(latest: str, known: Iterable[str], *, present: str) -> str:
    """Where replies go: to the phone address that was used last, else to any that is known, else
    where they went so far."""
    if latest.endswith(PHONE_SUFFIX):
        return latest
    if present.endswith(PHONE_SUFFIX):
        return present
    return next((address for address in known if address.endswith(PHONE_SUFFIX)), present)


def complete(kept: Customer, gone: Customer) -> None:
    """What only the other one of two merged customers told us is not forgotten."""
    kept.name = kept.name or gone.name
    kept.phone = kept.phone or gone.phone
    kept.address = kept.address or gone.address
    kept.language = kept.language or gone.language
    kept.note = kept.note or gone.note
    kept.opted_out = kept.opted_out or gone.opted_out
