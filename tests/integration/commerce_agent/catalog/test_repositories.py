"""What repositories promise, kept by memory and SQL alike."""

import pytest

from commerce_agent.domain.entities.channel import (
    Channel,
    ChannelKind,
    ChannelNameTaken,
    ChannelNotFound,
    ChannelState,
)
from commerce_agent.domain.entities.customer import AddressTaken, Customer, CustomerNotFound
from commerce_agent.domain.entities.product import (
    Product,
    ProductDraft,
    ProductNotFound,
    SkuTaken,
    VariantDraft,
)
from commerce_agent.domain.entities.tenant import (
    ShopProfile,
    SlugTaken,
    Tenant,
    TenantNotFound,
    TenantStatus,
)
from commerce_agent.domain.services.optimistic_lock import ChangedMeanwhile
from commerce_agent.domain.value_objects.ids import CustomerId, ProductId
from commerce_agent.domain.value_objects.language import Language
from commerce_agent.domain.value_objects.phone import Phone
from shared.kernel.ids import ChannelId, TenantId, new_id
from shared.kernel.money import Money
from tests.integration.commerce_agent.catalog.conftest import NOW, Shop

PROFILE = ShopProfile(
    about="Kopi dan roti.\nSejak 2016.",
    address="Jl. Kemang No. 5",
    hours="Setiap hari 07.00–21.00",
    persona="Ramah dan singkat",
    policies=("Pesan sebelum pukul 16.00", "Tanpa refund"),
    links=("https://kopisenja.example/menu",),
)


def a_product(tenant: Tenant, sku: str = "KS-1", **fields: object) -> Product:
    draft = ProductDraft(
        **{  # type: ignore[arg-type]
            "name": "Kopi Susu",
            "variants": [VariantDraft(sku=sku, price=Money(25_000, "IDR"), on_hand=10)],
            **fields,
        }
    )
    return Product.create(draft, tenant_id=tenant.id, currency="IDR", at=NOW)


def a_channel(tenant: Tenant, name: str = "Toko") -> Channel:
    return Channel.create(
        channel_id=ChannelId(new_id()),
        tenant_id=tenant.id,
        kind=ChannelKind.WAHA,
        name=name,
        session="toko-1",
        base_url="https://waha.example:3000/",
        webhook_secret_ciphertext=b"sealed secret",
        api_key_ciphertext=b"sealed key",
        at=NOW,
    )


async def saved(shop: Shop, *things: Product | Channel | Customer) -> None:
    async with shop.uow(things[0].tenant_id) as uow:
        for thing in things:
            match thing:
                case Product():
                    uow.products.add(thing)
                case Channel():
                    uow.channels.add(thing)
                case Customer():
                    uow.customers.add(thing)
        await uow.commit()


def state_of(aggregate: Tenant | Channel | Product | Customer) -> dict[str, object]:
    return {name: value for name, value in vars(aggregate).items() if name != "_events"}


async def test_every_field_of_a_tenant_that_goes_in_comes_out(shop: Shop) -> None:
    made = await shop.a_tenant(
        currency="usd",
        timezone="Europe/Berlin",
        language="en",
        profile=PROFILE,
        llm_config_name="main",
    )

    async with shop.uow(made.id) as uow:
        read = await uow.tenants.get(made.id)

    assert state_of(read) == state_of(made)
    assert (read.currency, read.timezone, read.language) == ("USD", "Europe/Berlin", Language("en"))
    assert read.profile == PROFILE
    assert (read.llm_config_name, read.status, read.version) == ("main", TenantStatus.ACTIVE, 1)


async def test_every_field_of_a_channel_that_goes_in_comes_out(shop: Shop) -> None:
    made = a_channel(await shop.a_tenant())
    made.rotate_secret(new=b"new", previous=b"old", at=NOW)
    made.report_state(ChannelState.WORKING, phone=Phone("+628111222333"), at=NOW)
    await saved(shop, made)

    async with shop.uow(made.tenant_id) as uow:
        read = await uow.channels.get(made.id)

    assert state_of(read) == state_of(made)
    assert read.base_url == "https://waha.example:3000"
    assert (read.webhook_secret_ciphertext, read.previous_webhook_secret_ciphertext) == (
        b"new",
        b"old",
    )
    assert (read.state, read.phone, read.active) == (ChannelState.WORKING, "+628111222333", True)


async def test_every_field_of_a_product_that_goes_in_comes_out(shop: Shop) -> None:
    made = a_product(
        await shop.a_tenant(),
        category="Kopi Dingin",
        description="Gula aren.\nFavorit 🧋",
        images=["demo/kopi.png", "demo/kopi-2.png"],
        active=False,
        variants=[
            VariantDraft(sku="B", name="Besar", price=Money(30_000, "IDR"), on_hand=0),
            VariantDraft(
                sku="A",
                name="Kecil",
                price=Money(0, "IDR"),
                on_hand=7,
                attributes={"ukuran": "250 ml"},
                active=False,
            ),
        ],
    )
    await saved(shop, made)

    async with shop.uow(made.tenant_id) as uow:
        read = await uow.products.get(made.id)

    assert state_of(read) == state_of(made)
    assert [variant.sku for variant in read.variants] == ["B", "A"]


async def test_every_field_of_a_customer_that_goes_in_comes_out(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    made = Customer.create(
        tenant_id=tenant.id,
        name="Siti",
        phone="0812 3456 789",
        address="Jl. Melati 3\nDepok",
        language="id",
        note="Alergi kacang",
        at=NOW,
    )
    made.opt_out(at=NOW)
    made.add_address("628123456789@c.us")
    made.add_address("111@lid")
    await saved(shop, made)

    async with shop.uow(tenant.id) as uow:
        read = await uow.customers.get(made.id)

    assert state_of(read) == state_of(made)
    assert read.phone == "+628123456789"
    assert read.addresses == ("628123456789@c.us", "111@lid")


async def test_nothing_happens_without_commit(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    product = a_product(tenant)
    await saved(shop, product)

    async with shop.uow(tenant.id) as uow:
        (await uow.products.get(product.id)).rename("Lain", at=NOW)
        (await uow.tenants.get(tenant.id)).update(name="Lain", at=NOW)
        uow.customers.add(stranger := Customer.create(tenant_id=tenant.id, at=NOW))

    async with shop.uow(tenant.id) as uow:
        assert (await uow.products.get(product.id)).name == "Kopi Susu"
        assert (await uow.tenants.get(tenant.id)).name == "Kopi Senja"
        assert await uow.customers.find(stranger.id) is None


async def test_one_of_two_writers_loses(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    product = a_product(tenant)
    await saved(shop, product)

    async with shop.uow(tenant.id) as first, shop.uow(tenant.id) as second:
        (await first.products.get(product.id)).rename("Kopi Pertama", at=NOW)
        (await second.products.get(product.id)).rename("Kopi Kedua", at=NOW)
        await first.commit()
        with pytest.raises(ChangedMeanwhile):
            await second.commit()

    async with shop.uow(tenant.id) as uow:
        read = await uow.products.get(product.id)
    assert (read.name, read.version) == ("Kopi Pertama", 2)


async def test_a_change_of_a_variant_alone_is_a_new_version_too(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    product = a_product(tenant)
    await saved(shop, product)

    async with shop.uow(tenant.id) as first, shop.uow(tenant.id) as second:
        price = Money(26_000, "IDR")
        (await first.products.get(product.id)).set_price(product.variants[0].id, price, at=NOW)
        (await second.products.get(product.id)).rename("Kopi Kedua", at=NOW)
        await first.commit()
        with pytest.raises(ChangedMeanwhile):
            await second.commit()


async def test_writing_nothing_new_leaves_the_version(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    product = a_product(tenant)
    await saved(shop, product)

    async with shop.uow(tenant.id) as uow:
        (await uow.products.get(product.id)).rename("Kopi Susu", at=NOW)
        await uow.commit()
        await uow.commit()

    async with shop.uow(tenant.id) as uow:
        assert (await uow.products.get(product.id)).version == 1


async def test_one_unit_of_work_hands_out_one_object_per_row(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    person = Customer.meet(tenant_id=tenant.id, addresses=("1@lid",), at=NOW)
    product, channel = a_product(tenant), a_channel(tenant)
    await saved(shop, person, product, channel)

    async with shop.uow(tenant.id) as uow:
        assert await uow.products.get(product.id) is await uow.products.find(product.id)
        assert await uow.channels.get(channel.id) is (await uow.channels.all())[0]
        found = await uow.customers.find_by_addresses(["1@lid"])
        assert found[0] is await uow.customers.get(person.id)


async def test_another_tenant_finds_nothing(shop: Shop) -> None:
    ours, theirs = await shop.a_tenant("ours"), await shop.a_tenant("theirs")
    product, channel = a_product(ours), a_channel(ours)
    person = Customer.meet(
        tenant_id=ours.id, addresses=("1@lid",), phone=Phone("+628123456789"), at=NOW
    )
    await saved(shop, product, channel, person)

    async with shop.uow(theirs.id) as uow:
        for get, wanted, missing in (
            (uow.products.get, product.id, ProductNotFound),
            (uow.channels.get, channel.id, ChannelNotFound),
            (uow.customers.get, person.id, CustomerNotFound),
            (uow.tenants.get, ours.id, TenantNotFound),
        ):
            with pytest.raises(missing):
                await get(wanted)  # type: ignore[operator]
        assert await uow.products.taken_skus(["KS-1"]) == frozenset()
        assert await uow.customers.find_by_addresses(["1@lid"]) == ()
        assert await uow.customers.find_by_phone(Phone("+628123456789")) is None
        assert list(await uow.channels.all()) == []


async def test_what_does_not_exist_is_not_found(shop: Shop) -> None:
    tenant = await shop.a_tenant()

    async with shop.uow(tenant.id) as uow:
        assert await uow.products.find(ProductId(new_id())) is None
        assert await uow.channels.find(ChannelId(new_id())) is None
        assert await uow.customers.find(CustomerId(new_id())) is None
        with pytest.raises(TenantNotFound):
            await uow.tenants.get(TenantId(new_id()))


async def test_a_slug_belongs_to_one_tenant(shop: Shop) -> None:
    await shop.a_tenant("kopi")

    with pytest.raises(SlugTaken):
        await shop.a_tenant("kopi")


async def test_a_sku_is_used_once_per_tenant(shop: Shop) -> None:
    ours, theirs = await shop.a_tenant("ours"), await shop.a_tenant("theirs")
    await saved(shop, a_product(ours, "KS-1"))
    await saved(shop, a_product(theirs, "KS-1"))

    with pytest.raises(SkuTaken) as refused:
        await saved(shop, a_product(ours, "KS-1"))

    assert refused.value.data["skus"] == ["KS-1"]


async def test_a_channel_name_is_used_once_per_tenant(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    await saved(shop, a_channel(tenant, "Toko"))

    with pytest.raises(ChannelNameTaken):
        await saved(shop, a_channel(tenant, "Toko"))


async def test_a_whatsapp_address_belongs_to_one_customer(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    await saved(shop, Customer.meet(tenant_id=tenant.id, addresses=("1@lid",), at=NOW))
    other = Customer.meet(tenant_id=tenant.id, addresses=("2@lid",), at=NOW)
    await saved(shop, other)

    async with shop.uow(tenant.id) as uow:
        (await uow.customers.get(other.id)).add_address("1@lid")
        with pytest.raises(AddressTaken):
            await uow.commit()

    async with shop.uow(tenant.id) as uow:
        assert (await uow.customers.get(other.id)).addresses == ("2@lid",)


async def test_addresses_that_are_one_person_can_be_moved(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    older = Customer.meet(tenant_id=tenant.id, addresses=("628111@c.us",), at=NOW)
    newer = Customer.meet(tenant_id=tenant.id, addresses=("1@lid", "2@lid"), at=NOW)
    await saved(shop, older, newer)

    async with shop.uow(tenant.id) as uow:
        found = await uow.customers.find_by_addresses(["1@lid", "628111@c.us"])
        assert [customer.id for customer in found] == [older.id, newer.id]
        await uow.customers.move_addresses(source=found[1], target=found[0])
        await uow.commit()

    async with shop.uow(tenant.id) as uow:
        read = await uow.customers.find_by_addresses(["2@lid"])
        assert [customer.id for customer in read] == [older.id]
        assert sorted(read[0].addresses) == ["1@lid", "2@lid", "628111@c.us"]
        assert (await uow.customers.get(newer.id)).addresses == ()


async def test_a_customer_is_found_by_phone_the_oldest_first(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    first = Customer.create(tenant_id=tenant.id, phone="08123456789", at=NOW)
    second = Customer.create(tenant_id=tenant.id, phone="08123456789", at=NOW)
    await saved(shop, first, second)

    async with shop.uow(tenant.id) as uow:
        found = await uow.customers.find_by_phone(Phone("+628123456789"))

    assert found is not None
    assert found.id == first.id
