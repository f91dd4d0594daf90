"""A shop's unit of work without a database; it passes the same suite as the one in SQL."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import fields
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from uuid import UUID

from commerce_agent.application.ports.shop_agent import EffectKey, ToolDone
from commerce_agent.domain.entities.channel import Channel, ChannelNameTaken, ChannelNotFound
from commerce_agent.domain.entities.customer import AddressTaken, Customer, CustomerNotFound
from commerce_agent.domain.entities.product import Product, ProductNotFound, SkuTaken
from commerce_agent.domain.entities.tenant import SlugTaken, Tenant, TenantNotFound
from commerce_agent.domain.services.optimistic_lock import ChangedMeanwhile
from commerce_agent.domain.value_objects.phone import Phone
from shared.kernel.errors import Conflict, NotFound
from shared.kernel.events import DomainEvent
from shared.kernel.ids import TenantId

A = TypeVar("A", Tenant, Channel, Product, Customer)


class MemoryShop:
    """What has been committed, for every tenant. Called, it opens a unit of work."""

    def __init__(self) -> None:
        self.stored: dict[UUID, Any] = {}
        self.effects: dict[EffectKey, str] = {}
        self.events: list[DomainEvent] = []

    def __call__(self, tenant_id: TenantId, effect: EffectKey | None = None) -> "MemoryUnitOfWork":
        return MemoryUnitOfWork(self, tenant_id, effect)

    async def add(self, tenant: Tenant) -> None:
        """The registry of tenants."""
        if any(isinstance(t, Tenant) and t.slug == tenant.slug for t in self.stored.values()):
            raise SlugTaken(slug=tenant.slug)
        self.events.extend(tenant.pull_events())
        self.stored[tenant.id] = deepcopy(tenant)


class MemoryRepository(Generic[A]):
    """Hands out copies and remembers them."""

    def __init__(
        self, shop: MemoryShop, tenant_id: TenantId, kind: type[A], missing: type[NotFound]
    ) -> None:
        self._shop, self._tenant_id, self._kind, self._missing = shop, tenant_id, kind, missing
        self.seen: dict[UUID, tuple[A, A | None]] = {}

    async def get(self, wanted: UUID) -> A:
        found = await self.find(wanted)
        if found is None:
            raise self._missing
        return found

    async def find(self, wanted: UUID) -> A | None:
        if wanted not in self.seen:
            stored = next((a for a in self._committed() if a.id == wanted), None)
            if stored is None:
                return None
            self.seen[wanted] = (deepcopy(stored), deepcopy(stored))
        return self.seen[wanted][0]

    async def all(self) -> Sequence[A]:
        return [await self.get(a.id) for a in sorted(self._committed(), key=lambda a: a.id)]

    def add(self, new: A) -> None:
        self.seen[new.id] = (new, None)

    def changed(self) -> Iterable[tuple[A, A | None]]:
        return [
            (now, before)
            for now, before in self.seen.values()
            if before is None or _values(now) != _values(before)
        ]

    def _committed(self) -> list[A]:
        return [
            stored
            for stored in self._shop.stored.values()
            if isinstance(stored, self._kind) and _owner(stored) == self._tenant_id
        ]

    async def taken_skus(self: "MemoryRepository[Product]", skus: Iterable[str]) -> frozenset[str]:
        used = {variant.sku for product in self._committed() for variant in product.variants}
        return frozenset(used & set(skus))

    async def find_by_addresses(
        self: "MemoryRepository[Customer]", addresses: Iterable[str]
    ) -> tuple[Customer, ...]:
        wanted = set(addresses)
        return tuple([c for c in await self.all() if wanted & set(c.addresses)])

    async def find_by_phone(self: "MemoryRepository[Customer]", phone: Phone) -> Customer | None:
        return next((c for c in await self.all() if c.phone == phone), None)

    async def move_addresses(
        self: "MemoryRepository[Customer]", *, source: Customer, target: Customer
    ) -> None:
        moved, source.addresses = source.addresses, ()
        target.addresses = (*target.addresses, *moved)


class MemoryUnitOfWork:
    """Keeps the promises of `UnitOfWork` that the catalogue's services rely on."""

    def __init__(self, shop: MemoryShop, tenant_id: TenantId, effect: EffectKey | None) -> None:
        self._shop, self._effect = shop, effect
        self.replayed = shop.effects.get(effect) if effect is not None else None
        self.tenants = MemoryRepository(shop, tenant_id, Tenant, TenantNotFound)
        self.channels = MemoryRepository(shop, tenant_id, Channel, ChannelNotFound)
        self.products = MemoryRepository(shop, tenant_id, Product, ProductNotFound)
        self.customers = MemoryRepository(shop, tenant_id, Customer, CustomerNotFound)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    async def commit(self, effect_done: ToolDone | None = None) -> None:
        repositories: tuple[MemoryRepository[Any], ...] = (
            self.tenants,
            self.channels,
            self.products,
            self.customers,
        )
        writes = [write for repository in repositories for write in repository.changed()]
        for now, before in writes:
            if before is not None and self._shop.stored[now.id].version != now.version:
                raise ChangedMeanwhile
        after = self._shop.stored | {now.id: now for now, _ in writes}
        _refuse_twins(after.values())
        for now, before in writes:
            now.version += before is not None
            self._shop.stored[now.id] = deepcopy(now)
        for repository in repositories:
            for now, _ in list(repository.seen.values()):
                self._shop.events.extend(now.pull_events())
                repository.seen[now.id] = (now, deepcopy(now))
        if self._effect is not None and effect_done is not None:
            self._shop.effects[self._effect] = effect_done.result


def _owner(aggregate: Any) -> TenantId:
    owner: TenantId = aggregate.id if isinstance(aggregate, Tenant) else aggregate.tenant_id
    return owner


def _values(aggregate: Any) -> dict[str, Any]:
    return {
        f.name: getattr(aggregate, f.name)
        for f in fields(aggregate)
        if f.name not in ("version", "_events")
    }


def _refuse_twins(aggregates: Iterable[Any]) -> None:
    seen: set[tuple[object, ...]] = set()

    def once(error: Conflict, *key: object) -> None:
        if key in seen:
            raise error
        seen.add(key)

    for aggregate in aggregates:
        match aggregate:
            case Channel():
                once(ChannelNameTaken(), aggregate.tenant_id, "channel", aggregate.name)
            case Product():
                for variant in aggregate.variants:
                    once(SkuTaken([variant.sku]), aggregate.tenant_id, "sku", variant.sku)
            case Customer():
                for address in aggregate.addresses:
                    once(AddressTaken(), aggregate.tenant_id, "address", address)
