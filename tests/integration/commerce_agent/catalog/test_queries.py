"""What the lists of screens and REST promise."""

from datetime import UTC, datetime

import pytest

from commerce_agent.application.queries.page import BadCursor, BadLimit, encode_cursor
from commerce_agent.domain.entities.channel import ChannelKind, ChannelNotFound
from commerce_agent.domain.entities.customer import CustomerNotFound
from commerce_agent.domain.entities.product import ProductDraft, ProductNotFound, VariantDraft
from commerce_agent.domain.entities.tenant import ShopProfile, TenantNotFound
from commerce_agent.domain.value_objects.ids import CustomerId, ProductId
from commerce_agent.infrastructure.persistence.channel_queries import SqlChannelQueries
from commerce_agent.infrastructure.persistence.customer_queries import SqlCustomerQueries
from commerce_agent.infrastructure.persistence.product_queries import SqlProductQueries
from commerce_agent.infrastructure.persistence.tenant_queries import SqlTenantQueries
from shared.kernel.ids import ChannelId, TenantId, new_id
from shared.kernel.money import Money
from shared.persistence.database import Database
from tests.integration.commerce_agent.catalog.conftest import Shop
from tests.support import rows
from tests.support.coffee_shop import a_menu
from tests.support.postgres import TestDatabase


async def test_a_product_reads_as_rest_shows_it(
    sql_shop: Shop, database: Database, test_database: TestDatabase
) -> None:
    tenant = await sql_shop.a_tenant()
    draft = ProductDraft(
        name="Kopi Susu",
        category="Kopi",
        description="Gula aren",
        images=["demo/a.png"],
        variants=[
            VariantDraft(sku="KS-R", name="Regular", price=Money(25_000, "IDR"), on_hand=10),
            VariantDraft(sku="KS-L", name="Large", price=Money(30_000, "IDR"), active=False),
        ],
    )
    made = await sql_shop.products.create(tenant.id, draft)
    await test_database.execute("UPDATE variants SET reserved = 3 WHERE sku = 'KS-R'")

    row = await SqlProductQueries(database).get(tenant.id, made.id)

    assert (row.id, row.name, row.category, row.description) == (
        made.id,
        "Kopi Susu",
        "Kopi",
        "Gula aren",
    )
    assert (row.active, row.images, row.version) == (True, ("demo/a.png",), 1)
    assert [(v.id, v.sku, v.name, v.price, v.stock, v.active) for v in row.variants] == [
        (made.variants[0].id, "KS-R", "Regular", Money(25_000, "IDR"), 7, True),
        (made.variants[1].id, "KS-L", "Large", Money(30_000, "IDR"), 0, False),
    ]
    assert abs((datetime.now(UTC) - row.created_at).total_seconds()) < 60


async def test_a_change_moves_the_time_and_the_version(
    sql_shop: Shop, database: Database, test_database: TestDatabase
) -> None:
    tenant = await sql_shop.a_tenant()
    loaded = await sql_shop.products.create_many(tenant.id, a_menu()[:1])
    product = loaded.created[0]
    await test_database.jump(3600)
    await sql_shop.products.set_stock(tenant.id, product.id, product.variants[0].id, 5)

    row = await SqlProductQueries(database).get(tenant.id, product.id)

    assert row.version == 2
    assert (row.updated_at - row.created_at).total_seconds() >= 3600


async def test_pages_hold_every_product_once_in_order(sql_shop: Shop, database: Database) -> None:
    tenant = await sql_shop.a_tenant()
    loaded = await sql_shop.products.create_many(tenant.id, a_menu())
    queries = SqlProductQueries(database)

    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        page = await queries.list(tenant.id, limit=16, cursor=cursor)
        seen += [row.id for row in page.data]
        cursor, pages = page.next_cursor, pages + 1

    assert seen == [product.id for product in loaded.created]
    assert pages == 4


async def test_a_product_made_while_somebody_pages_shifts_nothing(
    sql_shop: Shop, database: Database
) -> None:
    tenant = await sql_shop.a_tenant()
    await sql_shop.products.create_many(tenant.id, a_menu()[:4])
    queries = SqlProductQueries(database)

    first = await queries.list(tenant.id, limit=2)
    await sql_shop.products.create_many(tenant.id, a_menu()[4:6])
    second = await queries.list(tenant.id, limit=200, cursor=first.next_cursor)

    names = [row.name for row in (*first.data, *second.data)]
    assert names == [draft.name for draft in a_menu()[:6]]
    assert second.next_cursor is None


async def test_a_list_narrows_by_category_and_activity(sql_shop: Shop, database: Database) -> None:
    tenant = await sql_shop.a_tenant()
    loaded = await sql_shop.products.create_many(tenant.id, a_menu())
    await sql_shop.products.retire(tenant.id, loaded.created[0].id)
    queries = SqlProductQueries(database)

    hot = await queries.list(tenant.id, category="Kopi Panas", limit=200)
    active = await queries.list(tenant.id, category="Kopi Panas", active=True, limit=200)
    retired = await queries.list(tenant.id, active=False, limit=200)

    assert (len(hot.data), len(active.data)) == (10, 9)
    assert [row.name for row in retired.data] == ["Espresso"]


async def test_many_products_come_in_the_order_asked_for(
    sql_shop: Shop, database: Database
) -> None:
    tenant = await sql_shop.a_tenant()
    made = (await sql_shop.products.create_many(tenant.id, a_menu()[:3])).created
    queries = SqlProductQueries(database)

    wanted = [made[2].id, ProductId(new_id()), made[0].id]
    assert [row.id for row in await queries.get_many(tenant.id, wanted)] == [
        made[2].id,
        made[0].id,
    ]
    assert await queries.get_many(tenant.id, []) == ()


@pytest.mark.parametrize("limit", [0, -1, 201, 10**9])
async def test_a_page_of_no_size_is_refused(database: Database, limit: int) -> None:
    tenant_id = TenantId(new_id())
    for queries in (SqlProductQueries, SqlCustomerQueries, SqlChannelQueries):
        with pytest.raises(BadLimit):
            await queries(database).list(tenant_id, limit=limit)
    with pytest.raises(BadLimit):
        await SqlTenantQueries(database).list(limit=limit)


@pytest.mark.parametrize("cursor", ["x", "", "e30", encode_cursor(id="x"), encode_cursor(at="1")])
async def test_a_cursor_of_no_list_is_refused(database: Database, cursor: str) -> None:
    tenant_id = TenantId(new_id())
    for queries in (SqlProductQueries, SqlCustomerQueries, SqlChannelQueries):
        with pytest.raises(BadCursor):
            await queries(database).list(tenant_id, cursor=cursor)
    with pytest.raises(BadCursor):
        await SqlTenantQueries(database).list(cursor=cursor)


async def test_customers_come_newest_first_with_their_addresses(
    sql_shop: Shop, database: Database, test_database: TestDatabase
) -> None:
    tenant = await sql_shop.a_tenant()
    older = await rows.a_customer(test_database, tenant.id, address="628111@c.us")
    newer = await sql_shop.customers.create(
        tenant.id, name="Siti", phone="08123456789", address="Depok", language="en", note="VIP"
    )
    queries = SqlCustomerQueries(database)

    first = await queries.list(tenant.id, limit=1)
    second = await queries.list(tenant.id, limit=1, cursor=first.next_cursor)

    (row,) = first.data
    assert (row.id, row.name, row.phone, row.address, row.language, row.note) == (
        newer.id,
        "Siti",
        "+628123456789",
        "Depok",
        "en",
        "VIP",
    )
    assert (row.opted_out, row.addresses, row.version) == (False, (), 1)
    assert [(r.id, r.addresses) for r in second.data] == [(older, ("628111@c.us",))]
    assert second.next_cursor is None


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("siti", ["Siti Aminah"]),
        ("AMIN", ["Siti Aminah"]),
        ("0812-3456", ["Siti Aminah"]),
        ("+62 812 3456", ["Siti Aminah"]),
        ("%", ["100% Kopi"]),
        ("_", []),
        ("\0", ["100% Kopi", "Siti Aminah"]),
        ("  ", ["100% Kopi", "Siti Aminah"]),
        ("\\", []),
    ],
)
async def test_customers_are_found_by_part_of_name_or_number(
    sql_shop: Shop, database: Database, search: str, expected: list[str]
) -> None:
    tenant = await sql_shop.a_tenant()
    await sql_shop.customers.create(tenant.id, name="Siti Aminah", phone="081234567890")
    await sql_shop.customers.create(tenant.id, name="100% Kopi")

    page = await SqlCustomerQueries(database).list(tenant.id, search=search)

    assert [row.name for row in page.data] == expected


async def test_a_channel_shows_that_it_has_secrets_and_never_them(
    sql_shop: Shop, database: Database
) -> None:
    tenant = await sql_shop.a_tenant()
    waha, secret = await sql_shop.channels.create(
        tenant.id,
        kind=ChannelKind.WAHA,
        name="Toko",
        session="toko",
        base_url="http://waha:3000",
        api_key="geheim",
    )
    await sql_shop.channels.create(
        tenant.id, kind=ChannelKind.SIMULATOR, name="Simulasi", session="simulator"
    )
    await sql_shop.channels.rotate_secret(tenant.id, waha.id)
    queries = SqlChannelQueries(database)

    row = await queries.get(tenant.id, waha.id)
    page = await queries.list(tenant.id)
    simulators = await queries.list(tenant.id, kind="simulator")

    assert (row.kind, row.name, row.session, row.base_url) == (
        "waha",
        "Toko",
        "toko",
        "http://waha:3000",
    )
    assert (row.has_api_key, row.rotating_secret, row.active, row.state) == (
        True,
        True,
        True,
        "unknown",
    )
    assert secret not in repr(page)
    assert "geheim" not in repr(page)
    assert [r.name for r in page.data] == ["Toko", "Simulasi"]
    assert [(r.name, r.has_api_key, r.state) for r in simulators.data] == [
        ("Simulasi", False, "working")
    ]


async def test_the_operator_finds_tenants_by_slug_id_and_list(
    sql_shop: Shop, database: Database
) -> None:
    profile = ShopProfile(about="Kopi", links=("https://kopi.example",))
    made = await sql_shop.a_tenant("kopi-senja", profile=profile)
    other = await sql_shop.a_tenant("roti-pagi")
    queries = SqlTenantQueries(database)

    row = await queries.named("kopi-senja")

    assert row == await queries.named(str(made.id)) == await queries.get(made.id)
    assert (row.id, row.slug, row.name, row.status, row.profile) == (
        made.id,
        "kopi-senja",
        "Kopi Senja",
        "active",
        profile,
    )
    assert (row.currency, row.timezone, row.language) == ("IDR", "Asia/Jakarta", "id")
    first = await queries.list(limit=1)
    second = await queries.list(limit=1, cursor=first.next_cursor)
    assert [r.id for r in (*first.data, *second.data)] == [made.id, other.id]
    assert second.next_cursor is None
    for unknown in ("tidak-ada", str(new_id()), "", "\0", "x" * 1000):
        with pytest.raises(TenantNotFound):
            await queries.named(unknown)


async def test_another_tenants_rows_are_not_found(sql_shop: Shop, database: Database) -> None:
    ours, theirs = await sql_shop.a_tenant("ours"), await sql_shop.a_tenant("theirs")
    product = (await sql_shop.products.create_many(ours.id, a_menu()[:1])).created[0]
    customer = await sql_shop.customers.create(ours.id, name="Siti")
    channel, _ = await sql_shop.channels.create(
        ours.id, kind=ChannelKind.SIMULATOR, name="Simulasi", session="simulator"
    )
    products, customers, channels = (
        SqlProductQueries(database),
        SqlCustomerQueries(database),
        SqlChannelQueries(database),
    )

    with pytest.raises(ProductNotFound):
        await products.get(theirs.id, product.id)
    with pytest.raises(CustomerNotFound):
        await customers.get(theirs.id, customer.id)
    with pytest.raises(ChannelNotFound):
        await channels.get(theirs.id, channel.id)
    assert (await products.list(theirs.id)).data == ()
    assert (await customers.list(theirs.id)).data == ()
    assert (await channels.list(theirs.id)).data == ()
    assert await products.get_many(theirs.id, [product.id]) == ()


async def test_what_does_not_exist_is_not_found(database: Database) -> None:
    tenant_id = TenantId(new_id())

    with pytest.raises(CustomerNotFound):
        await SqlCustomerQueries(database).get(tenant_id, CustomerId(new_id()))
    with pytest.raises(ChannelNotFound):
        await SqlChannelQueries(database).get(tenant_id, ChannelId(new_id()))
