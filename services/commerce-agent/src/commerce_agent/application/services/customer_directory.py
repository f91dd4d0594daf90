"""Who is behind a WhatsApp address."""

from commerce_agent.application.unit_of_work import UnitOfWork
from commerce_agent.domain.entities.customer import Customer
from commerce_agent.domain.services.alias_rules import PHONE_SUFFIX
from commerce_agent.domain.value_objects.phone import BadPhone, Phone, parse_phone
from shared.kernel.ids import TenantId


async def meet(
    uow: UnitOfWork,
    tenant_id: TenantId,
    addresses: tuple[str, ...],
    *,
    push_name: str | None = None,
) -> Customer:
    """The customer with these addresses, which WhatsApp says are one person's.

    Somebody new is added; an address we did not know is learned; two customers who turn out to be
    one become one, the older of the two; ``push_name`` is the name of who has none. What changed is
    written, so that rows can point at it.
    """
    phone = _phone(addresses)
    known = await uow.customers.find_by_addresses(addresses)
    if not known and phone is not None:
        # staff added them by their number, which the address is
        by_number = await uow.customers.find_by_phone(phone)
        known = () if by_number is None else (by_number,)
    if not known:
        customer = Customer.meet(
            tenant_id=tenant_id,
            addresses=addresses,
            phone=phone,
            push_name=push_name,
            at=await uow.now(),
        )
        uow.customers.add(customer)
    else:
        customer, *others = known
        for other in others:
            await uow.merge_customers(customer, other)
        for address in addresses:
            customer.add_address(address)
        customer.phone = customer.phone or phone
        if push_name and customer.name is None:
            customer.introduce(push_name, at=await uow.now())
    await uow.flush()
    return customer


def _phone(addresses: tuple[str, ...]) -> Phone | None:
    for address in addresses:
        if address.endswith(PHONE_SUFFIX):
            try:
                return parse_phone(f"+{address.removesuffix(PHONE_SUFFIX)}")
            except BadPhone:
                return None  # WhatsApp knows numbers that numbering plans do not
    return None
