"""What happens to customers. Events name the fields that changed, never what people said of
themselves: erasing a customer must not leave copies in the event stream."""

from dataclasses import dataclass
from typing import ClassVar

from commerce_agent.domain.value_objects.ids import CustomerId
from shared.kernel.events import DomainEvent


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomerCreated(DomainEvent):
    name: ClassVar[str] = "customer.created"

    customer_id: CustomerId


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomerUpdated(DomainEvent):
    name: ClassVar[str] = "customer.updated"

    customer_id: CustomerId
    fields: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomerOptedOut(DomainEvent):
    name: ClassVar[str] = "customer.opted_out"

    customer_id: CustomerId


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomerOptedIn(DomainEvent):
    name: ClassVar[str] = "customer.opted_in"

    customer_id: CustomerId
