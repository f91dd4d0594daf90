"""What the catalogue's services promise, over memory and SQL alike."""

import pytest

from commerce_agent.application.services.channel_secrets import (
    PREVIOUS_WEBHOOK_SECRET,
    ChannelSecrets,
)
from commerce_agent.domain.entities.channel import BadChannel, ChannelKind, ChannelState
from commerce_agent.domain.entities.product import (
    BadProduct,
    ProductDraft,
    ProductNotFound,
    SkuTaken,
    VariantDraft,
)
from commerce_agent.domain.entities.tenant import ShopProfile, TenantStatus
from commerce_agent.domain.services.optimistic_lock import ChangedMeanwhile
from commerce_agent.domain.value_objects.phone import BadPhone
from commerce_agent.domain.value_objects.text import BadText
from shared.kernel.money import CurrencyMismatch, Money
from tests.integration.commerce_agent.catalog.conftest import KEYS, Shop
from tests.support.coffee_shop import a_menu


def a_draft(sku: str = "KS-1", *, name: str = "Kopi Susu", amount: int = 25_000) -> ProductDraft:
    return ProductDraft(
        name=name, variants=[VariantDraft(sku=sku, price=Money(amount, "IDR"), on_hand=10)]
    )


async def test_a_tenant_is_changed_suspended_and_resumed(shop: Shop) -> None:
    tenant = await shop.a_tenant()

    await shop.tenants.update(tenant.id, name="Kopi Pagi", profile=ShopProfile(about="Baru"))
    await shop.tenants.suspend(tenant.id)

    read = await shop.tenants.get(tenant.id)
    assert (read.name, read.profile.about, read.status) == (
        "Kopi Pagi",
        "Baru",
        TenantStatus.SUSPENDED,
    )
    assert (await shop.tenants.resume(tenant.id)).is_active
    assert (await shop.tenants.get(tenant.id)).version == 4


async def test_an_update_of_an_old_version_is_refused_and_changes_nothing(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    product = await shop.products.create(tenant.id, a_draft())
    await shop.products.update(tenant.id, product.id, name="Kopi Baru")

    with pytest.raises(ChangedMeanwhile) as refused:
        await shop.products.update(tenant.id, product.id, name="Kopi Lama", expected_version=1)

    assert refused.value.data["version"] == 2
    assert (await shop.products.get(tenant.id, product.id)).name == "Kopi Baru"
    kept = await shop.products.update(tenant.id, product.id, name="Kopi", expected_version=2)
    assert kept.version == 3


async def test_each_tenant_gets_a_key_of_its_own(shop: Shop) -> None:
    one, two = await shop.a_tenant("one"), await shop.a_tenant("two")

    assert one.wrapped_key != two.wrapped_key
    assert KEYS.tenant(one.id, one.wrapped_key)


async def test_a_channel_keeps_its_secrets_sealed(shop: Shop) -> None:
    tenant = await shop.a_tenant()

    channel, secret = await shop.channels.create(
        tenant.id,
        kind=ChannelKind.WAHA,
        name="Toko",
        session="toko",
        base_url="http://waha:3000",
        api_key="waha-key-1",
    )

    read = await shop.channels.get(tenant.id, channel.id)
    opened = ChannelSecrets.of(tenant, KEYS)
    assert opened.webhook_secret(read) == secret
    assert opened.api_key(read) == "waha-key-1"
    assert secret.encode() not in read.webhook_secret_ciphertext
    assert read.api_key_ciphertext is not None
    assert b"waha-key-1" not in read.api_key_ciphertext
    assert await shop.channels.webhook_secret(tenant.id, channel.id) == secret
    assert secret not in repr(read)


async def test_a_rotated_secret_keeps_the_one_before_until_it_is_ended(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    channel, old = await shop.channels.create(
        tenant.id, kind=ChannelKind.SIMULATOR, name="Simulasi", session="simulator"
    )

    new = await shop.channels.rotate_secret(tenant.id, channel.id)

    read = await shop.channels.get(tenant.id, channel.id)
    cipher = ChannelSecrets.of(tenant, KEYS).cipher
    assert read.previous_webhook_secret_ciphertext is not None
    previous = cipher.open(
        read.previous_webhook_secret_ciphertext,
        table="channels",
        column=PREVIOUS_WEBHOOK_SECRET,
        row=channel.id,
    )
    assert previous == old
    assert new != old
    assert await shop.channels.webhook_secret(tenant.id, channel.id) == new
    ended = await shop.channels.end_rotation(tenant.id, channel.id)
    assert ended.previous_webhook_secret_ciphertext is None


async def test_a_channel_is_changed_field_by_field(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    channel, _ = await shop.channels.create(
        tenant.id,
        kind=ChannelKind.WAHA,
        name="Toko",
        session="toko",
        base_url="http://waha:3000",
        api_key="first",
    )

    await shop.channels.update(tenant.id, channel.id, name="Cabang", active=False)
    await shop.channels.update(tenant.id, channel.id, api_key="second")

    (read,) = await shop.channels.list(tenant.id)
    assert (read.name, read.active, read.session) == ("Cabang", False, "toko")
    assert read.base_url == "http://waha:3000"
    assert ChannelSecrets.of(tenant, KEYS).api_key(read) == "second"
    assert read.version == 3


async def test_a_waha_channel_needs_a_server_and_a_simulator_none(shop: Shop) -> None:
    tenant = await shop.a_tenant()

    with pytest.raises(BadChannel):
        await shop.channels.create(tenant.id, kind=ChannelKind.WAHA, name="A", session="a")
    channel, _ = await shop.channels.create(
        tenant.id, kind=ChannelKind.SIMULATOR, name="B", session="b"
    )

    assert channel.state is ChannelState.WORKING
    assert [c.name for c in await shop.channels.list(tenant.id)] == ["B"]


@pytest.mark.parametrize("key", ["", "a\nb", "clé", "x" * 501])
async def test_an_api_key_that_no_header_can_carry_is_refused(shop: Shop, key: str) -> None:
    tenant = await shop.a_tenant()

    with pytest.raises(BadText):
        await shop.channels.create(
            tenant.id,
            kind=ChannelKind.WAHA,
            name="A",
            session="a",
            base_url="http://waha:3000",
            api_key=key,
        )
    assert await shop.channels.list(tenant.id) == ()


async def test_a_product_gets_its_shops_currency_or_none_is_made(shop: Shop) -> None:
    tenant = await shop.a_tenant(currency="USD")

    with pytest.raises(CurrencyMismatch):
        await shop.products.create(tenant.id, a_draft())

    async with shop.uow(tenant.id) as uow:
        assert await uow.products.taken_skus(["KS-1"]) == frozenset()


async def test_loading_a_menu_twice_adds_nothing(shop: Shop) -> None:
    tenant = await shop.a_tenant()

    first = await shop.products.create_many(tenant.id, a_menu(), on_existing="skip")
    again = await shop.products.create_many(tenant.id, a_menu(), on_existing="skip")

    assert (len(first.created), first.skipped) == (64, 0)
    assert (len(again.created), again.skipped) == (0, 64)


async def test_loading_adds_what_is_new_beside_what_is_there(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    await shop.products.create(tenant.id, a_draft("KS-1", name="Kopi Lama"))

    loaded = await shop.products.create_many(
        tenant.id, [a_draft("KS-1", name="Kopi Baru"), a_draft("KS-2")], on_existing="skip"
    )

    assert [p.variants[0].sku for p in loaded.created] == ["KS-2"]
    assert loaded.skipped == 1


async def test_many_products_are_made_all_or_none(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    await shop.products.create(tenant.id, a_draft("KS-1"))

    with pytest.raises(SkuTaken) as taken:
        await shop.products.create_many(tenant.id, [a_draft("KS-0"), a_draft("KS-1")])
    with pytest.raises(SkuTaken) as twice:
        await shop.products.create_many(tenant.id, [a_draft("KS-8"), a_draft("KS-8")])
    with pytest.raises(BadProduct):
        await shop.products.create_many(tenant.id, [a_draft("KS-9"), a_draft("KS 10")])

    assert taken.value.data["skus"] == ["KS-1"]
    assert twice.value.data["skus"] == ["KS-8"]
    async with shop.uow(tenant.id) as uow:
        assert await uow.products.taken_skus(["KS-0", "KS-8", "KS-9"]) == frozenset()


async def test_a_variant_is_changed_all_or_nothing(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    product = await shop.products.create(tenant.id, a_draft())
    variant = product.variants[0]

    with pytest.raises(BadProduct):
        await shop.products.update_variant(
            tenant.id, product.id, variant.id, price=Money(1, "IDR"), on_hand=-1
        )
    untouched = await shop.products.get(tenant.id, product.id)
    assert untouched.variants == product.variants

    await shop.products.update_variant(
        tenant.id,
        product.id,
        variant.id,
        name="Besar",
        price=Money(27_000, "IDR"),
        on_hand=3,
        attributes={"ukuran": "besar"},
        active=False,
    )
    read = (await shop.products.get(tenant.id, product.id)).variants[0]
    assert (read.name, read.price, read.on_hand, read.attributes, read.active) == (
        "Besar",
        Money(27_000, "IDR"),
        3,
        {"ukuran": "besar"},
        False,
    )


async def test_price_and_stock_have_verbs_of_their_own(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    product = await shop.products.create(tenant.id, a_draft())
    variant_id = product.variants[0].id

    await shop.products.set_price(tenant.id, product.id, variant_id, Money(30_000, "IDR"))
    await shop.products.set_stock(tenant.id, product.id, variant_id, 4)

    read = (await shop.products.get(tenant.id, product.id)).variants[0]
    assert (read.price, read.stock) == (Money(30_000, "IDR"), 4)


async def test_a_variant_can_be_added_under_a_free_sku_only(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    product = await shop.products.create(tenant.id, a_draft("KS-1"))
    await shop.products.create(tenant.id, a_draft("KS-2"))
    large = VariantDraft(sku="KS-1L", name="Besar", price=Money(31_000, "IDR"), on_hand=2)

    grown, variant = await shop.products.add_variant(tenant.id, product.id, large)
    with pytest.raises(SkuTaken):
        await shop.products.add_variant(
            tenant.id, product.id, VariantDraft(sku="KS-2", price=Money(1, "IDR"))
        )

    assert grown.variants[1] == variant
    read = await shop.products.get(tenant.id, product.id)
    assert [v.sku for v in read.variants] == ["KS-1", "KS-1L"]


async def test_a_retired_product_can_be_restored(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    product = await shop.products.create(tenant.id, a_draft())

    assert not (await shop.products.retire(tenant.id, product.id)).active
    assert (await shop.products.update(tenant.id, product.id, active=True)).active


async def test_another_tenants_product_cannot_be_touched(shop: Shop) -> None:
    ours, theirs = await shop.a_tenant("ours"), await shop.a_tenant("theirs")
    product = await shop.products.create(ours.id, a_draft())

    with pytest.raises(ProductNotFound):
        await shop.products.update(theirs.id, product.id, name="Direbut")

    assert (await shop.products.get(ours.id, product.id)).name == "Kopi Susu"


async def test_a_customer_is_changed_field_by_field(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    made = await shop.customers.create(tenant.id, name="Siti", phone="08123456789", note="VIP")

    await shop.customers.update(tenant.id, made.id, language="EN", note="", opted_out=True)

    read = await shop.customers.get(tenant.id, made.id)
    assert (read.name, read.phone, read.language, read.note, read.opted_out) == (
        "Siti",
        "+628123456789",
        "en",
        None,
        True,
    )


async def test_a_refused_change_of_a_customer_changes_nothing(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    made = await shop.customers.create(tenant.id, name="Siti")

    with pytest.raises(BadPhone):
        await shop.customers.update(tenant.id, made.id, name="Sita", phone="bukan nomor")

    read = await shop.customers.get(tenant.id, made.id)
    assert (read.name, read.phone, read.version) == ("Siti", None, 1)


async def test_a_profile_told_in_the_chat_is_kept_and_reported(shop: Shop) -> None:
    tenant = await shop.a_tenant()
    made = await shop.customers.create(tenant.id, name="Siti")

    result = await shop.customers.update_profile(
        tenant.id, made.id, name="Siti", address="Jl. Melati 3", language="id"
    )

    assert result == '{"updated":["address","language"]}'
    read = await shop.customers.get(tenant.id, made.id)
    assert (read.address, read.language) == ("Jl. Melati 3", "id")
