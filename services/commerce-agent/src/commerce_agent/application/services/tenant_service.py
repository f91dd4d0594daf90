"""Opening shops and changing what they say of themselves."""

from dataclasses import dataclass

from commerce_agent.application.unit_of_work import UnitOfWorkFactory
from commerce_agent.domain.entities.tenant import ShopProfile, Tenant
from commerce_agent.domain.repositories.tenant_repository import TenantRegistry
from commerce_agent.domain.services.optimistic_lock import expect_version
from shared.kernel.clock import Clock
from shared.kernel.ids import TenantId, new_id
from shared.security.crypto import KeyRing


@dataclass(frozen=True, slots=True)
class TenantService:
    """``create`` is the operator's; everything else is done as the tenant itself."""

    uow: UnitOfWorkFactory
    registry: TenantRegistry
    keys: KeyRing
    now: Clock

    async def create(
        self,
        *,
        slug: str,
        name: str,
        currency: str = "IDR",
        timezone: str = "Asia/Jakarta",
        language: str = "id",
        profile: ShopProfile | None = None,
        llm_config_name: str = "offline",
    ) -> Tenant:
        """Open a shop with a key of its own.

        Raises:
            SlugTaken: another shop has this slug.
            Invalid: a field is out of bounds.
        """
        tenant_id = TenantId(new_id())
        tenant = Tenant.create(
            tenant_id=tenant_id,
            slug=slug,
            name=name,
            wrapped_key=self.keys.new_wrapped_key(tenant_id),
            at=self.now(),
            currency=currency,
            timezone=timezone,
            language=language,
            profile=profile,
            llm_config_name=llm_config_name,
        )
        await self.registry.add(tenant)
        return tenant

    async def get(self, tenant_id: TenantId) -> Tenant:
        """Raises `TenantNotFound`."""
        async with self.uow(tenant_id) as uow:
            return await uow.tenants.get(tenant_id)

    async def update(
        self,
        tenant_id: TenantId,
        *,
        name: str | None = None,
        timezone: str | None = None,
        language: str | None = None,
        profile: ShopProfile | None = None,
        llm_config_name: str | None = None,
        expected_version: int | None = None,
    ) -> Tenant:
        """Change what is given; ``None`` leaves a field as it is.

        Raises:
            ChangedMeanwhile: the caller has not seen the latest version.
            Invalid: a field is out of bounds.
        """
        async with self.uow(tenant_id) as uow:
            tenant = await uow.tenants.get(tenant_id)
            expect_version(tenant.version, expected_version)
            tenant.update(
                at=self.now(),
                name=name,
                timezone=timezone,
                language=language,
                profile=profile,
                llm_config_name=llm_config_name,
            )
            await uow.commit()
        return tenant

    async def suspend(self, tenant_id: TenantId) -> Tenant:
        """Stop serving a shop; nothing is deleted."""
        async with self.uow(tenant_id) as uow:
            tenant = await uow.tenants.get(tenant_id)
            tenant.suspend(at=self.now())
            await uow.commit()
        return tenant

    async def resume(self, tenant_id: TenantId) -> Tenant:
        """Serve it again."""
        async with self.uow(tenant_id) as uow:
            tenant = await uow.tenants.get(tenant_id)
            tenant.resume(at=self.now())
            await uow.commit()
        return tenant
