"""Laying out the demo shop with the services that HTTP uses; again adds only what is missing."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from ai_platform.demo.pictures import draw_missing, file_name
from ai_platform.demo.shop import DemoProduct, DemoShop
from ai_platform.embedded.credentials import DemoCredentials
from commerce_agent.application.ports.catalogue_search import SearchSynonyms
from commerce_agent.application.queries.tenant_queries import TenantQueries
from commerce_agent.application.services.channel_service import ChannelService
from commerce_agent.application.services.product_service import ProductService
from commerce_agent.application.services.tenant_service import TenantService
from commerce_agent.domain.entities.channel import Channel, ChannelKind
from commerce_agent.domain.entities.product import ProductDraft, VariantDraft
from commerce_agent.domain.entities.tenant import ShopProfile, TenantNotFound
from commerce_agent.infrastructure.persistence.search_synonyms import SqlSearchSynonyms
from commerce_agent.infrastructure.persistence.tenant_queries import SqlTenantQueries
from commerce_agent.infrastructure.persistence.tenant_repository import SqlTenantRegistry
from commerce_agent.infrastructure.persistence.unit_of_work import SqlUnitOfWork
from gateway.application.ports.simulated_phone import SimulatedPhones
from gateway.application.services.api_key_service import ApiKeyService
from gateway.infrastructure.persistence.api_keys import SqlApiKeyStore
from gateway.infrastructure.persistence.simulated_phones import SqlSimulatedPhones
from shared.kernel.clock import utc_now
from shared.kernel.errors import NotFound
from shared.kernel.ids import TenantId
from shared.kernel.money import Money
from shared.persistence.database import Database
from shared.security import api_keys
from shared.security.crypto import KeyRing
from shared.waha.addresses import of_phone

CHANNEL_NAME = "Simulator"
SESSION = "simulator"
PICTURES = "demo"
"""Folder of the demo's pictures below the media store."""

_KEY_NAME = "demo"


@dataclass(frozen=True)
class DemoLoader:
    """Everything is done as an operator would do it; nothing of a real shop is touched."""

    tenant_queries: TenantQueries
    tenants: TenantService
    channels: ChannelService
    products: ProductService
    synonyms: SearchSynonyms
    phones: SimulatedPhones
    key_store: SqlApiKeyStore
    api_keys: ApiKeyService
    media: Path

    @classmethod
    def over(
        cls, database: Database, keys: KeyRing, pepper: SecretStr, media: Path
    ) -> "DemoLoader":
        """A loader that works on this database."""
        uow = partial(SqlUnitOfWork, database)
        key_store = SqlApiKeyStore(database)
        return cls(
            tenant_queries=SqlTenantQueries(database),
            tenants=TenantService(uow, SqlTenantRegistry(database), keys, utc_now),
            channels=ChannelService(uow, keys, utc_now),
            products=ProductService(uow, utc_now),
            synonyms=SqlSearchSynonyms(database),
            phones=SqlSimulatedPhones(database),
            key_store=key_store,
            api_keys=ApiKeyService(key_store, pepper),
            media=media,
        )

    async def load(
        self, shop: DemoShop, *, known: DemoCredentials | None, login: bool
    ) -> DemoCredentials:
        """Lay out the shop. With ``login`` there is an API key afterwards, without it there is
        none: the one of ``known`` is revoked.

        Raises:
            Undecipherable: the shop was made under another MASTER_KEY.
        """
        drawing = asyncio.create_task(
            asyncio.to_thread(draw_missing, shop.products, self.media / PICTURES)
        )
        tenant_id = await self._tenant(shop)
        channel = await self._channel(tenant_id)
        await self.products.create_many(tenant_id, _drafts(shop.products), on_existing="skip")
        await self.synonyms.put(tenant_id, shop.synonyms)
        await self._customers(shop)
        api_key = await self._api_key(tenant_id, known.api_key if known else None, login=login)
        await drawing
        return DemoCredentials(
            tenant_id=str(tenant_id),
            tenant_slug=shop.slug,
            channel_id=str(channel.id),
            webhook_secret=await self.channels.webhook_secret(tenant_id, channel.id),
            api_key=api_key,
            catalogue=shop.fingerprint,
        )

    async def _tenant(self, shop: DemoShop) -> TenantId:
        try:
            return (await self.tenant_queries.named(shop.slug)).id
        except TenantNotFound:
            profile = ShopProfile(
                about=shop.about, address=shop.address, hours=shop.hours, policies=shop.policies
            )
            made = await self.tenants.create(slug=shop.slug, name=shop.name, profile=profile)
            return made.id

    async def _channel(self, tenant_id: TenantId) -> Channel:
        for channel in await self.channels.list(tenant_id):
            if channel.kind is ChannelKind.SIMULATOR:
                return channel
        made, _ = await self.channels.create(
            tenant_id, kind=ChannelKind.SIMULATOR, name=CHANNEL_NAME, session=SESSION
        )
        return made

    async def _customers(self, shop: DemoShop) -> None:
        where = await self.phones.find_shop(shop.slug)
        assert where is not None, "its simulated number was just connected"
        for customer in shop.customers:
            address = of_phone(customer.phone)
            assert address is not None, customer.phone
            await self.phones.add_customer(where, address, customer.name)

    async def _api_key(self, tenant_id: TenantId, known: str | None, *, login: bool) -> str | None:
        prefix = api_keys.split(known) if known else None
        if prefix is not None:
            stored = await self.key_store.find(prefix)
            if login and stored is not None and stored.usable and stored.tenant_id == tenant_id:
                return known
            await self._revoke(tenant_id, prefix)
        return await self.api_keys.create(tenant_id, _KEY_NAME, ["*"]) if login else None

    async def _revoke(self, tenant_id: TenantId, prefix: str) -> None:
        with suppress(NotFound):  # it was revoked by hand, or the data is new
            await self.api_keys.revoke(tenant_id, prefix)


def _drafts(products: tuple[DemoProduct, ...]) -> Iterator[ProductDraft]:
    for product in products:
        yield ProductDraft(
            name=product.name,
            category=product.category,
            description=product.description,
            images=[f"{PICTURES}/{file_name(product)}"],
            variants=[
                VariantDraft(
                    sku=variant.sku,
                    name=variant.name,
                    price=Money(variant.price, "IDR"),
                    on_hand=variant.stock,
                )
                for variant in product.variants
            ],
        )
