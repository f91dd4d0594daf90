"""The customer, as the shop knows them."""

from dataclasses import dataclass
from datetime import datetime

from commerce_agent.domain.events.customer_events import (
    CustomerCreated,
    CustomerOptedIn,
    CustomerOptedOut,
    CustomerUpdated,
)
from commerce_agent.domain.value_objects.ids import CustomerId
from commerce_agent.domain.value_objects.language import Language
from commerce_agent.domain.value_objects.phone import Phone, parse_phone
from commerce_agent.domain.value_objects.text import optional_line, paragraph, tidy_line
from shared.kernel.errors import Conflict, Invalid, NotFound
from shared.kernel.events import Aggregate
from shared.kernel.ids import TenantId, new_id


class CustomerNotFound(NotFound):
    """There is no such customer."""

    code = "customer_not_found"


class AddressTaken(Conflict):
    """This WhatsApp address belongs to another customer."""

    code = "address_taken"


class WantsNoMessages(Conflict):
    """This customer wants no messages that they did not ask for."""

    code = "customer_opted_out"


class BadAddress(Invalid):
    """This is no WhatsApp address such as ``628123456789@c.us``."""

    code = "bad_whatsapp_address"


@dataclass(eq=False, kw_only=True)
class Customer(Aggregate):
    """A person who writes to the shop, however many WhatsApp addresses they write from."""

    id: CustomerId
    tenant_id: TenantId
    name: str | None = None
    phone: Phone | None = None
    address: str | None = None
    """Where orders go."""
    language: Language | None = None
    """``None``: not known yet, the shop's own is used."""
    note: str | None = None
    opted_out: bool = False
    addresses: tuple[str, ...] = ()
    """WhatsApp addresses, oldest first: ``628…@c.us`` and ``…@lid``."""
    version: int = 1

    @classmethod
    def create(
        cls,
        *,
        tenant_id: TenantId,
        at: datetime,
        name: str | None = None,
        phone: str | None = None,
        address: str | None = None,
        language: str | None = None,
        note: str | None = None,
    ) -> "Customer":
        """Add a customer by hand. Raises `BadText`, `BadPhone`, `UnknownLanguage`."""
        customer = cls(
            id=CustomerId(new_id()),
            tenant_id=tenant_id,
            name=optional_line(name, field="name") or None,
            phone=parse_phone(phone) if phone else None,
            address=_address(address) if address else None,
            language=Language.of(language) if language else None,
            note=_note(note) if note else None,
        )
        customer._record(
            CustomerCreated(tenant_id=tenant_id, occurred_at=at, customer_id=customer.id)
        )
        return customer

    @classmethod
    def meet(
        cls,
        *,
        tenant_id: TenantId,
        addresses: tuple[str, ...],
        at: datetime,
        phone: Phone | None = None,
        push_name: str | None = None,
    ) -> "Customer":
        """Somebody writes for the first time.

        What WhatsApp calls them is tidied, never refused: a message must not be lost over a name.

        Raises:
            BadAddress: an address is none.
        """
        customer = cls(
            id=CustomerId(new_id()),
            tenant_id=tenant_id,
            name=tidy_line(push_name) or None,
            phone=phone,
        )
        for known in addresses:
            customer.add_address(known)
        customer._record(
            CustomerCreated(tenant_id=tenant_id, occurred_at=at, customer_id=customer.id)
        )
        return customer

    def change_profile(
        self,
        *,
        at: datetime,
        name: str | None = None,
        phone: str | None = None,
        address: str | None = None,
        language: str | None = None,
        note: str | None = None,
    ) -> tuple[str, ...]:
        """Change what is given: ``None`` leaves a field as it is, an empty text clears it.

        Returns:
            The names of the fields that are different now.

        Raises:
            BadText, BadPhone, UnknownLanguage: nothing has changed then.
        """
        wanted = {
            "name": None if name is None else optional_line(name, field="name"),
            "phone": phone and parse_phone(phone),
            "address": None if address is None else _address(address),
            "language": language and Language.of(language),
            "note": None if note is None else _note(note),
        }
        changes = {
            field: value or None
            for field, value in wanted.items()
            if value is not None and (value or None) != getattr(self, field)
        }
        for field, value in changes.items():
            setattr(self, field, value)
        if changes:
            self._record(
                CustomerUpdated(
                    tenant_id=self.tenant_id,
                    occurred_at=at,
                    customer_id=self.id,
                    fields=tuple(changes),
                )
            )
        return tuple(changes)

    def introduce(self, push_name: str, *, at: datetime) -> None:
        """Learn what WhatsApp calls them, while they have no name; a name is never overwritten."""
        called = tidy_line(push_name)
        if called and self.name is None:
            self.change_profile(at=at, name=called)

    def add_address(self, address: str) -> None:
        """Learn another WhatsApp address of this person. Raises `BadAddress`."""
        if not _is_whatsapp_address(address):
            raise BadAddress
        if address not in self.addresses:
            self.addresses = (*self.addresses, address)

    def opt_out(self, *, at: datetime) -> None:
        """The customer wants no messages that they did not ask for. Twice changes nothing."""
        if not self.opted_out:
            self.opted_out = True
            self._record(
                CustomerOptedOut(tenant_id=self.tenant_id, occurred_at=at, customer_id=self.id)
            )

    def opt_in(self, *, at: datetime) -> None:
        """The customer takes that back. Twice changes nothing."""
        if self.opted_out:
            self.opted_out = False
            self._record(
                CustomerOptedIn(tenant_id=self.tenant_id, occurred_at=at, customer_id=self.id)
            )


def _address(text: str) -> str:
    return paragraph(text, field="address", longest=500)


def _note(text: str) -> str:
    return paragraph(text, field="note", longest=2000)


def _is_whatsapp_address(text: str) -> bool:
    name, at, server = text.partition("@")
    return bool(name and at and server) and len(text) <= 120 and text.isascii() and " " not in text
