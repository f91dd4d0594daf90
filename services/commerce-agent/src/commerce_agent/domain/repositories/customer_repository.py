"""Where customers are kept."""

from collections.abc import Iterable
from typing import Protocol

from commerce_agent.domain.entities.customer import Customer
from commerce_agent.domain.value_objects.ids import CustomerId
from commerce_agent.domain.value_objects.phone import Phone


class CustomerRepository(Protocol):
    """The customers of the unit of work's tenant."""

    async def get(self, customer_id: CustomerId) -> Customer:
        """Raises `CustomerNotFound`."""
        ...

    async def find(self, customer_id: CustomerId) -> Customer | None: ...

    async def find_by_addresses(self, addresses: Iterable[str]) -> tuple[Customer, ...]:
        """Whose WhatsApp addresses these are, the oldest customer first.

        More than one: they were met under different addresses and are the same person after all.
        The addresses are locked until the transaction ends, so that two first messages of one
        person cannot both find nobody.
        """
        ...

    async def find_by_phone(self, phone: Phone) -> Customer | None:
        """The oldest customer with this number."""
        ...

    async def move_addresses(self, *, source: Customer, target: Customer) -> None:
        """Give every WhatsApp address of one customer to another, who is the same person."""
        ...

    def add(self, customer: Customer) -> None:
        """Keep a new customer. The commit raises `AddressTaken`."""
        ...
