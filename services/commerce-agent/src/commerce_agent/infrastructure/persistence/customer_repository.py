"""Customers and their WhatsApp addresses in SQL."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Text

from commerce_agent.domain.entities.customer import AddressTaken, Customer, CustomerNotFound
from commerce_agent.domain.value_objects.ids import CustomerId
from commerce_agent.domain.value_objects.language import Language
from commerce_agent.domain.value_objects.phone import Phone
from commerce_agent.infrastructure.persistence.kept import Kept, Row, write_changes
from commerce_agent.infrastructure.persistence.tables import customer_aliases, customers
from shared.kernel.events import DomainEvent
from shared.kernel.ids import TenantId

_ADDRESSES = (
    select(
        func.coalesce(
            func.array_agg(
                aggregate_order_by(
                    customer_aliases.c.address,
                    customer_aliases.c.created_at,
                    customer_aliases.c.address,
                )
            ),
            text("'{}'::text[]"),
        )
    )
    .where(
        customer_aliases.c.tenant_id == customers.c.tenant_id,
        customer_aliases.c.customer_id == customers.c.id,
    )
    .scalar_subquery()
    .label("addresses")
)
CUSTOMER_COLUMNS = (customers, _ADDRESSES)
"""A customer's row with the addresses in it, oldest first."""

# Sorted, so that two who ask for the same pair never wait for each other.
_LOCK_ADDRESSES = text(
    "SELECT pg_advisory_xact_lock(hashtextextended(:tenant || ' ' || address, 0))"
    " FROM (SELECT unnest(:addresses) AS address ORDER BY 1) AS wanted"
).bindparams(bindparam("addresses", type_=ARRAY(Text)), bindparam("tenant", type_=Text))


class SqlCustomerRepository:
    """The customers of one tenant, inside its transaction."""

    def __init__(self, connection: AsyncConnection, tenant_id: TenantId) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self._kept: Kept[Customer] = Kept(_to_row)

    async def get(self, customer_id: CustomerId) -> Customer:
        customer = await self.find(customer_id)
        if customer is None:
            raise CustomerNotFound
        return customer

    async def find(self, customer_id: CustomerId) -> Customer | None:
        known = self._kept.find(customer_id)
        if known is not None:
            return known
        found = await self._select(customers.c.id == customer_id)
        return found[0] if found else None

    async def find_by_addresses(self, addresses: Iterable[str]) -> tuple[Customer, ...]:
        wanted = sorted(set(addresses))
        await self._connection.execute(
            _LOCK_ADDRESSES, {"tenant": str(self._tenant_id), "addresses": wanted}
        )
        owners = select(customer_aliases.c.customer_id).where(
            customer_aliases.c.tenant_id == self._tenant_id,
            customer_aliases.c.address.in_(wanted),
        )
        return tuple(await self._select(customers.c.id.in_(owners)))

    async def find_by_phone(self, phone: Phone) -> Customer | None:
        found = await self._select(customers.c.phone == phone)
        return found[0] if found else None

    async def move_addresses(self, *, source: Customer, target: Customer) -> None:
        await self._connection.execute(
            update(customer_aliases)
            .where(
                customer_aliases.c.tenant_id == self._tenant_id,
                customer_aliases.c.customer_id == source.id,
            )
            .values(customer_id=target.id)
        )
        moved, source.addresses = source.addresses, ()
        target.addresses = (*target.addresses, *moved)

    def add(self, customer: Customer) -> None:
        self._kept.add(customer)

    async def flush(self) -> list[DomainEvent]:
        for customer in self._kept.new():
            await self._connection.execute(
                insert(customers).values(
                    tenant_id=self._tenant_id,
                    id=customer.id,
                    version=customer.version,
                    **_columns(_to_row(customer)),
                )
            )
            await self._learn(customer, known=())
        for customer, changes, before in self._kept.changed():
            await write_changes(
                self._connection,
                customers,
                tenant_id=self._tenant_id,
                aggregate=customer,
                changes=_columns(changes),
            )
            if "addresses" in changes:
                await self._learn(customer, known=before["addresses"])
        return self._kept.settle()

    async def _select(self, which: Any) -> Sequence[Customer]:
        query = (
            select(*CUSTOMER_COLUMNS)
            .where(customers.c.tenant_id == self._tenant_id, which)
            .order_by(customers.c.id)
        )
        rows = (await self._connection.execute(query)).mappings()
        return [self._kept.load(_to_customer(row)) for row in rows]

    async def _learn(self, customer: Customer, *, known: Sequence[str]) -> None:
        for address in customer.addresses:
            if address in known:
                continue
            claim = upsert(customer_aliases).values(
                tenant_id=self._tenant_id, address=address, customer_id=customer.id
            )
            ours = claim.on_conflict_do_update(
                constraint="pk_customer_aliases",
                set_={"customer_id": claim.excluded.customer_id},
                where=customer_aliases.c.customer_id == claim.excluded.customer_id,
            )
            if (await self._connection.execute(ours)).rowcount != 1:
                raise AddressTaken


def _columns(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "addresses"}


def _to_row(customer: Customer) -> Row:
    return {
        "name": customer.name,
        "phone": customer.phone,
        "address": customer.address,
        "language": None if customer.language is None else customer.language.value,
        "note": customer.note,
        "opted_out": customer.opted_out,
        "addresses": customer.addresses,
    }


def _to_customer(row: Mapping[Any, Any]) -> Customer:
    return Customer(
        id=CustomerId(row["id"]),
        tenant_id=TenantId(row["tenant_id"]),
        name=row["name"],
        phone=None if row["phone"] is None else Phone(row["phone"]),
        address=row["address"],
        language=None if row["language"] is None else Language(row["language"]),
        note=row["note"],
        opted_out=row["opted_out"],
        addresses=tuple(row["addresses"]),
        version=row["version"],
    )
