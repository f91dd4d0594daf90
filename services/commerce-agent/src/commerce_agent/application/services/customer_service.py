"""What a shop knows of its customers, told by staff or by the customers themselves."""

from dataclasses import dataclass

import orjson

from commerce_agent.application.ports.shop_agent import EffectKey, ToolDone
from commerce_agent.application.unit_of_work import UnitOfWorkFactory
from commerce_agent.domain.entities.customer import Customer
from commerce_agent.domain.services.optimistic_lock import expect_version
from commerce_agent.domain.value_objects.ids import CustomerId
from shared.kernel.clock import Clock
from shared.kernel.ids import TenantId


@dataclass(frozen=True, slots=True)
class CustomerService:
    """Customers of one tenant at a time."""

    uow: UnitOfWorkFactory
    now: Clock

    async def create(
        self,
        tenant_id: TenantId,
        *,
        name: str | None = None,
        phone: str | None = None,
        address: str | None = None,
        language: str | None = None,
        note: str | None = None,
    ) -> Customer:
        """Add a customer by hand.

        Raises:
            BadPhone, BadText, UnknownLanguage: a field cannot be kept.
        """
        customer = Customer.create(
            tenant_id=tenant_id,
            name=name,
            phone=phone,
            address=address,
            language=language,
            note=note,
            at=self.now(),
        )
        async with self.uow(tenant_id) as uow:
            uow.customers.add(customer)
            await uow.commit()
        return customer

    async def get(self, tenant_id: TenantId, customer_id: CustomerId) -> Customer:
        """Raises `CustomerNotFound`."""
        async with self.uow(tenant_id) as uow:
            return await uow.customers.get(customer_id)

    async def update(
        self,
        tenant_id: TenantId,
        customer_id: CustomerId,
        *,
        name: str | None = None,
        phone: str | None = None,
        address: str | None = None,
        language: str | None = None,
        note: str | None = None,
        opted_out: bool | None = None,
        expected_version: int | None = None,
    ) -> Customer:
        """Change what is given; ``None`` leaves a field as it is, an empty text clears it.

        Raises:
            CustomerNotFound, ChangedMeanwhile, BadPhone, BadText, UnknownLanguage: as they say.
        """
        async with self.uow(tenant_id) as uow:
            customer = await uow.customers.get(customer_id)
            expect_version(customer.version, expected_version)
            at = self.now()
            customer.change_profile(
                name=name, phone=phone, address=address, language=language, note=note, at=at
            )
            if opted_out is not None:
                customer.opt_out(at=at) if opted_out else customer.opt_in(at=at)
            await uow.commit()
        return customer

    async def update_profile(
        self,
        tenant_id: TenantId,
        customer_id: CustomerId,
        *,
        name: str | None = None,
        language: str | None = None,
        address: str | None = None,
        note: str | None = None,
        effect: EffectKey | None = None,
    ) -> str:
        """Keep what the customer said of themselves in the chat.

        Returns:
            The tool's result, ``{"updated": [names of fields]}``; for an effect that has happened
            before, what it returned then.

        Raises:
            CustomerNotFound, BadText, UnknownLanguage: as they say.
            Fenced: the effect's worker has lost the conversation.
        """
        async with self.uow(tenant_id, effect) as uow:
            if uow.replayed is not None:
                return uow.replayed
            customer = await uow.customers.get(customer_id)
            fields = customer.change_profile(
                name=name, language=language, address=address, note=note, at=self.now()
            )
            result = orjson.dumps({"updated": fields}).decode()
            done = None if effect is None else ToolDone(request=effect.request, result=result)
            await uow.commit(done)
        return result
