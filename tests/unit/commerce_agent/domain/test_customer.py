"""What a customer promises."""

from datetime import UTC, datetime
from typing import Any

import pytest

from commerce_agent.domain.entities.customer import BadAddress, Customer
from commerce_agent.domain.events.customer_events import (
    CustomerCreated,
    CustomerOptedIn,
    CustomerOptedOut,
    CustomerUpdated,
)
from commerce_agent.domain.value_objects.language import UnknownLanguage
from commerce_agent.domain.value_objects.phone import BadPhone, Phone
from commerce_agent.domain.value_objects.text import BadText
from shared.kernel.errors import DomainError
from shared.kernel.ids import TenantId, new_id

AT = datetime(2026, 3, 1, tzinfo=UTC)
TENANT = TenantId(new_id())


def a_customer(**fields: Any) -> Customer:
    customer = Customer.create(**({"tenant_id": TENANT, "name": "Siti", "at": AT} | fields))
    customer.pull_events()
    return customer


@pytest.mark.parametrize(
    ("called", "kept"),
    [
        ("Siti", "Siti"),
        ("  Siti \n Aminah\x00 ", "Siti Aminah"),
        ("\u202eitiS", "itiS"),
        ("👩‍🍳 Siti", "👩‍🍳 Siti"),
        ("\x07\x07", None),
        ("", None),
        (None, None),
        ("x" * 300, "x" * 200),
    ],
)
def test_whoever_writes_is_met_whatever_they_are_called(
    called: str | None, kept: str | None
) -> None:
    customer = Customer.meet(
        tenant_id=TENANT,
        addresses=("628123@c.us", "1@lid"),
        phone=Phone("+628123"),
        push_name=called,
        at=AT,
    )

    assert (customer.name, customer.phone, customer.addresses) == (
        kept,
        "+628123",
        ("628123@c.us", "1@lid"),
    )
    assert customer.pull_events() == [
        CustomerCreated(tenant_id=TENANT, occurred_at=AT, customer_id=customer.id)
    ]


@pytest.mark.parametrize("address", ["", "628123", "@c.us", "628123@", "a b@lid", "x" * 121 + "@l"])
def test_what_is_no_whatsapp_address_is_not_learned(address: str) -> None:
    customer = a_customer()

    with pytest.raises(BadAddress):
        customer.add_address(address)

    assert customer.addresses == ()


def test_an_address_is_learned_once() -> None:
    customer = a_customer()

    customer.add_address("1@lid")
    customer.add_address("1@lid")

    assert customer.addresses == ("1@lid",)


def test_none_leaves_and_an_empty_text_clears() -> None:
    customer = a_customer(phone="08123456789", address="Depok", language="id", note="VIP")

    fields = customer.change_profile(name=None, phone="", address="", language="", note="", at=AT)

    assert fields == ("phone", "address", "language", "note")
    assert (customer.name, customer.phone, customer.address, customer.language, customer.note) == (
        "Siti",
        None,
        None,
        None,
        None,
    )


def test_a_change_is_told_by_the_names_of_its_fields_only() -> None:
    customer = a_customer()

    fields = customer.change_profile(name="Siti", address=" Jl. Melati 3 ", language="EN", at=AT)

    assert fields == ("address", "language")
    assert (customer.address, customer.language) == ("Jl. Melati 3", "en")
    assert customer.pull_events() == [
        CustomerUpdated(
            tenant_id=TENANT,
            occurred_at=AT,
            customer_id=customer.id,
            fields=("address", "language"),
        )
    ]


def test_a_change_of_nothing_is_not_told() -> None:
    customer = a_customer()

    assert customer.change_profile(name="Siti", note="", at=AT) == ()
    assert customer.pull_events() == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"phone": "bukan nomor"}, BadPhone),
        ({"language": "jv"}, UnknownLanguage),
        ({"address": "x" * 501}, BadText),
        ({"note": "x" * 2001}, BadText),
        ({"note": "a\x00"}, BadText),
    ],
)
def test_a_refused_change_changes_nothing(change: dict[str, str], error: type[DomainError]) -> None:
    customer = a_customer()

    with pytest.raises(error):
        customer.change_profile(**({"name": "Sita", "at": AT} | change))  # type: ignore[arg-type]

    assert customer.name == "Siti"
    assert customer.pull_events() == []


def test_a_name_is_learned_once_and_never_overwritten() -> None:
    nameless = Customer.meet(tenant_id=TENANT, addresses=("628123@c.us",), at=AT)
    nameless.pull_events()

    nameless.introduce("\x07", at=AT)
    assert nameless.name is None
    nameless.introduce(" Siti \n Aminah ", at=AT)
    nameless.introduce("Bukan Siti", at=AT)

    assert nameless.name == "Siti Aminah"
    assert nameless.pull_events() == [
        CustomerUpdated(tenant_id=TENANT, occurred_at=AT, customer_id=nameless.id, fields=("name",))
    ]


def test_opting_out_and_in_twice_is_told_once() -> None:
    customer = a_customer()

    for _ in range(2):
        customer.opt_out(at=AT)
    assert customer.opted_out
    for _ in range(2):
        customer.opt_in(at=AT)

    assert not customer.opted_out
    assert [type(event) for event in customer.pull_events()] == [CustomerOptedOut, CustomerOptedIn]
