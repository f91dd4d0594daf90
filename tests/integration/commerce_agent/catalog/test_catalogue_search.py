"""Finding products in the words of customers, on a menu of 64."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest
import pytest_asyncio

from commerce_agent.application.ports.catalogue_search import SearchResult
from commerce_agent.domain.entities.product import Product, ProductDraft, VariantDraft
from commerce_agent.infrastructure.persistence.catalogue_search import SqlCatalogueSearch
from commerce_agent.infrastructure.persistence.search_synonyms import SqlSearchSynonyms
from commerce_agent.infrastructure.persistence.tenant_repository import SqlTenantRegistry
from commerce_agent.infrastructure.persistence.unit_of_work import SqlUnitOfWork
from shared.kernel.ids import TenantId
from shared.kernel.money import Money
from shared.persistence.database import Database, open_database
from tests.integration.commerce_agent.catalog.conftest import Shop
from tests.support.coffee_shop import a_menu
from tests.support.postgres import PostgresForTests


@dataclass
class Clock:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(frozen=True)
class Found:
    """A shop with a menu, and its search."""

    tenant_id: TenantId
    search: SqlCatalogueSearch
    products: dict[str, Product]
    clock: Clock

    async def result(self, query: str, **how: object) -> SearchResult:
        return await self.search.search(self.tenant_id, query, **how)  # type: ignore[arg-type]

    async def names(self, query: str, **how: object) -> list[str]:
        return [product.name for product in (await self.result(query, **how)).products]


@asynccontextmanager
async def a_shop_with_a_menu(database: Database) -> AsyncIterator[Found]:
    shop = Shop(partial(SqlUnitOfWork, database), SqlTenantRegistry(database))
    tenant = await shop.a_tenant()
    loaded = await shop.products.create_many(tenant.id, a_menu())
    clock = Clock()
    yield Found(
        tenant.id,
        SqlCatalogueSearch(database, monotonic=clock),
        {product.name: product for product in loaded.created},
        clock,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def menu(postgres: PostgresForTests) -> AsyncIterator[Found]:
    """A shop that nobody changes."""
    made = await postgres.database()
    async with open_database(made.settings) as opened, a_shop_with_a_menu(opened) as found:
        yield found
    await postgres.drop(made)


@pytest.fixture
async def own_menu(database: Database) -> AsyncIterator[Found]:
    """A shop that this test changes, in the same database as `sql_shop`."""
    async with a_shop_with_a_menu(database) as found:
        yield found


def a_product(name: str, **fields: object) -> ProductDraft:
    sku = "X-" + "".join(letter for letter in name if letter.isascii() and letter.isalnum())
    variants = [VariantDraft(sku=sku, price=Money(10_000, "IDR"), on_hand=1)]
    return ProductDraft(name=name, **({"variants": variants} | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("Kopi Tubruk", "Kopi Tubruk"),
        ("espresso", "Espresso"),
        ("TIRAMISU", "Tiramisu"),
        ("v60", "V60 Kintamani"),
        ("caffe latte", "Caffè Latte"),
        ("nasi goreng", "Nasi Goreng Kampung"),
    ],
)
async def test_a_name_is_found_as_it_is_written(menu: Found, query: str, first: str) -> None:
    assert (await menu.names(query))[0] == first


@pytest.mark.parametrize(
    ("query", "first"),
    [("crois", "Croissant Mentega"), ("tirami", "Tiramisu"), ("sour", "Sourdough")],
)
async def test_the_beginning_of_a_word_is_enough(menu: Found, query: str, first: str) -> None:
    assert (await menu.names(query))[0] == first


async def test_two_letters_are_a_word_and_not_a_beginning(menu: Found) -> None:
    found = await menu.names("es")

    assert all("Es" in name.split() for name in found[:4])
    assert "Espresso" not in found


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("kroisan", "Croissant Mentega"),
        ("capucino", "Cappuccino"),
        ("kapucino", "Cappuccino"),
        ("expreso", "Espresso"),
        ("ekspreso", "Espresso"),
        ("brownis", "Brownies Panggang"),
        ("matca late", "Matcha Latte"),
        ("makiato karamel", "Caramel Macchiato"),
        ("redvelvet", "Red Velvet"),
        ("cheese cake", "Cheesecake Jepang"),
        ("chese cake", "Cheesecake Jepang"),
        ("tiramissu", "Tiramisu"),
        ("amerikano", "Americano"),
    ],
)
async def test_typing_errors_are_forgiven(menu: Found, query: str, first: str) -> None:
    result = await menu.result(query)

    assert result.products[0].name == first
    assert not result.near


@pytest.mark.parametrize("query", ["pizza", "jambu", "sepatu", "xyzzy", "ayan"])
async def test_other_words_are_not_taken_for_typing_errors(menu: Found, query: str) -> None:
    assert await menu.result(query) == SearchResult(products=(), total=0)


@pytest.mark.parametrize("query", ["panggang", "dipanggang", "memanggang"])
async def test_indonesian_forms_of_a_word_meet(menu: Found, query: str) -> None:
    assert await menu.names(query) == ["Brownies Panggang", "Salad Ayam Panggang", "Roti Tawar"]


async def test_the_suffix_nya_does_not_hide_a_word(menu: Found) -> None:
    assert set(await menu.names("rotinya", limit=50)) >= {"Roti Tawar", "Roti Keju"}


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("kopsus", "Es Kopi Susu Pandan"),
        ("nasgor", "Nasi Goreng Kampung"),
        ("esteh", "Es Teh Manis"),
        ("kopi hitam", "Americano"),
    ],
)
async def test_words_of_chats_are_known_everywhere(menu: Found, query: str, first: str) -> None:
    assert (await menu.names(query))[0] == first


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("do you have iced coffee with milk?", "Es Kopi Susu Pandan"),
        ("how much is the chocolate bread", "Roti Sobek Cokelat"),
        ("palm sugar coffee", "Es Kopi Susu Gula Aren"),
        ("fried rice", "Nasi Goreng Kampung"),
        ("black coffee", "Americano"),
        ("orange juice", "Jus Jeruk"),
    ],
)
async def test_english_finds_indonesian_names(menu: Found, query: str, first: str) -> None:
    assert (await menu.names(query))[0] == first


async def test_coffee_means_kopi(menu: Found) -> None:
    english, indonesian = await menu.result("coffee", limit=50), await menu.result("kopi", limit=50)

    assert {p.id for p in english.products} == {p.id for p in indonesian.products}


async def test_a_tenants_own_synonyms_find(own_menu: Found, database: Database) -> None:
    synonyms = SqlSearchSynonyms(database)
    await synonyms.put(
        own_menu.tenant_id, {"Si Manis": ["donat gula"], "bangun pagi": ["cold brew"]}
    )
    await synonyms.put(own_menu.tenant_id, {"si manis": ["klepon cake", "bolu pandan"]})
    own_menu.clock.seconds += 16

    assert await own_menu.names("si manis") == ["Bolu Pandan", "Klepon Cake"]
    assert await synonyms.get(own_menu.tenant_id) == {
        "si manis": ["klepon cake", "bolu pandan"],
        "bangun pagi": ["cold brew"],
    }


@pytest.mark.parametrize(
    "query",
    [
        "ada kopi tubruk ga kak?",
        "kak kopi tubruk brp ya",
        "mau pesan kopi tubruk 2 dong",
        "min, harga kopi tubruk yg berapa",
        "halo kak, kopi tubruknya masih ada?",
        "do you have kopi tubruk? how much is it",
        "kopi tubruk 15rb ya",
    ],
)
async def test_small_talk_is_read_past(menu: Found, query: str) -> None:
    assert (await menu.names(query))[0] == "Kopi Tubruk"


@pytest.mark.parametrize(
    "query", ["", "   ", "ada apa aja kak?", "menu dong", "🍩", "what do you have?"]
)
async def test_a_query_that_asks_for_nothing_shows_something_of_each_category(
    menu: Found, query: str
) -> None:
    result = await menu.result(query)

    assert result.total == 64
    assert [product.category for product in result.products] == [
        "Bukan Kopi",
        "Kopi Dingin",
        "Kopi Panas",
        "Kue",
        "Makanan",
        "Pastry",
        "Roti",
        "Bukan Kopi",
    ]


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("Roti", {"Roti"}),
        ("roti", {"Roti"}),
        ("bread", {"Roti"}),
        ("pastri", {"Pastry"}),
        ("kopi", {"Kopi Dingin", "Kopi Panas"}),
        ("coffee", {"Kopi Dingin", "Kopi Panas"}),
        ("bukan kopi", {"Bukan Kopi"}),
        ("non coffee", {"Bukan Kopi"}),
    ],
)
async def test_a_category_narrows_however_it_is_called(
    menu: Found, category: str, expected: set[str]
) -> None:
    result = await menu.result("", category=category, limit=50)

    assert {product.category for product in result.products} == expected
    assert result.total == len(result.products)


async def test_a_category_and_words_narrow_together(menu: Found) -> None:
    assert await menu.names("cokelat", category="Kue") == ["Kukis Cokelat", "Brownies Panggang"]


async def test_a_category_that_the_shop_does_not_have_is_part_of_the_query(menu: Found) -> None:
    assert (await menu.names("", category="Es Teh Manis"))[0] == "Es Teh Manis"
    assert await menu.names("", category="Sepatu") == []


async def test_a_category_that_says_it_has_none_is_not_found(menu: Found) -> None:
    result = await menu.result("kopi", limit=50)

    assert "Bukan Kopi" not in {product.category for product in result.products}
    assert result.total == 19


async def test_nothing_that_fits_all_words_gives_the_nearest(menu: Found) -> None:
    result = await menu.result("kopi tubruk rasa rendang bakar")

    assert result.near
    assert result.products[0].name == "Kopi Tubruk"


async def test_the_name_comes_before_category_and_description(menu: Found) -> None:
    found = await menu.names("roti", limit=50)

    assert [name for name in found if name.startswith("Roti")] == found[:8]
    assert "Ciabatta" in found[8:]


async def test_what_is_sold_out_comes_last_among_equals(menu: Found) -> None:
    croissants = await menu.names("croissant")
    coffees = await menu.names("kopi susu")

    assert croissants == ["Croissant Mentega", "Croissant Almond"]
    assert coffees[:3] == ["Es Kopi Susu Pandan", "Es Kopi Susu Gula Aren", "Kopi Susu Panas"]


async def test_the_very_name_comes_first_even_sold_out(menu: Found) -> None:
    assert (await menu.names("croissant almond"))[0] == "Croissant Almond"
    assert (await menu.names("kopi susu panas"))[0] == "Kopi Susu Panas"


async def test_the_order_is_the_same_every_time(menu: Found) -> None:
    first = await menu.names("kopi", limit=50)

    assert all([await menu.names("kopi", limit=50) == first for _ in range(3)])


async def test_a_page_holds_the_best_and_tells_how_many_there_are(menu: Found) -> None:
    few, many = await menu.result("kopi", limit=3), await menu.result("kopi", limit=1000)

    assert len(few.products) == 3
    assert few.total == many.total == len(many.products) == 19
    assert many.products[:3] == few.products
    assert len((await menu.result("", limit=1000)).products) == 50


async def test_sizes_refine_and_do_not_hide(menu: Found) -> None:
    large = await menu.result("cappuccino large")

    assert [variant.name for variant in large.products[0].variants] == ["Regular", "Large"]
    assert (await menu.names("espresso large"))[0] == "Espresso"


async def test_price_and_stock_are_those_of_the_moment(own_menu: Found, sql_shop: Shop) -> None:
    product = own_menu.products["Kopi Tubruk"]
    variant_id = product.variants[0].id
    await own_menu.result("kopi tubruk")

    await sql_shop.products.set_price(
        own_menu.tenant_id, product.id, variant_id, Money(17_500, "IDR")
    )
    await sql_shop.products.set_stock(own_menu.tenant_id, product.id, variant_id, 1)

    variant = (await own_menu.result("kopi tubruk")).products[0].variants[0]
    assert (variant.price, variant.stock) == (Money(17_500, "IDR"), 1)


async def test_what_is_not_for_sale_is_never_found(own_menu: Found, sql_shop: Shop) -> None:
    retired, emptied, halved = (
        own_menu.products[name] for name in ("Tiramisu", "Espresso", "Cappuccino")
    )
    await sql_shop.products.retire(own_menu.tenant_id, retired.id)
    for product in (emptied, halved):
        await sql_shop.products.update_variant(
            own_menu.tenant_id, product.id, product.variants[0].id, active=False
        )

    assert "Tiramisu" not in await own_menu.names("tiramisu", limit=50)
    assert "Espresso" not in await own_menu.names("espresso", limit=50)
    variants = (await own_menu.result("cappuccino")).products[0].variants
    assert [variant.name for variant in variants] == ["Large"]
    assert (await own_menu.result("")).total == 62


async def test_a_category_with_nothing_for_sale_is_not_listed(
    own_menu: Found, sql_shop: Shop
) -> None:
    before = await own_menu.search.categories(own_menu.tenant_id)
    for product in own_menu.products.values():
        if product.category == "Kue":
            await sql_shop.products.retire(own_menu.tenant_id, product.id)

    assert before == (
        "Bukan Kopi",
        "Kopi Dingin",
        "Kopi Panas",
        "Kue",
        "Makanan",
        "Pastry",
        "Roti",
    )
    assert set(before) - set(await own_menu.search.categories(own_menu.tenant_id)) == {"Kue"}


async def test_a_new_product_is_found_at_once_and_by_a_misspelling_soon(
    own_menu: Found, sql_shop: Shop
) -> None:
    await own_menu.result("kopi")
    await sql_shop.products.create(own_menu.tenant_id, a_product("Strudel Apel"))

    assert await own_menu.names("strudel") == ["Strudel Apel"]
    assert await own_menu.names("sturdel apel") == ["Strudel Apel"]
    assert await own_menu.names("strudle") == []
    own_menu.clock.seconds += 16
    assert await own_menu.names("strudle") == ["Strudel Apel"]


async def test_another_tenants_products_and_words_are_not_found(
    own_menu: Found, sql_shop: Shop, database: Database
) -> None:
    other = await sql_shop.a_tenant("lain")
    await sql_shop.products.create(other.id, a_product("Sate Padang", category="Sate"))
    await SqlSearchSynonyms(database).put(other.id, {"panggang": ["sate"]})

    assert await own_menu.names("sate padang") == []
    assert await own_menu.names("panggang", limit=1) == ["Brownies Panggang"]
    found = await own_menu.search.search(other.id, "kopi")
    assert found == SearchResult(products=(), total=0)
    assert await own_menu.search.categories(other.id) == ("Sate",)
    everything = await own_menu.search.search(other.id, "")
    assert [product.name for product in everything.products] == ["Sate Padang"]


async def test_an_empty_shop_answers(own_menu: Found, sql_shop: Shop) -> None:
    empty = await sql_shop.a_tenant("kosong")

    for query in ("", "kopi", "🍩"):
        assert (await own_menu.search.search(empty.id, query, category="roti")).total == 0
    assert await own_menu.search.categories(empty.id) == ()


async def test_signs_inside_a_name_part_its_words(own_menu: Found, sql_shop: Shop) -> None:
    await sql_shop.products.create(own_menu.tenant_id, a_product("Susu Oat (Hot/Iced)"))
    await sql_shop.products.create(own_menu.tenant_id, a_product("D'Cake Pisang-Keju"))
    own_menu.clock.seconds += 16

    assert await own_menu.names("susu oat iced") == ["Susu Oat (Hot/Iced)"]
    assert (await own_menu.names("pisang keju"))[0] == "D'Cake Pisang-Keju"


HOSTILE = [
    "'",
    "''",
    "\\",
    "\\'",
    "kopi' | '",
    "kopi' OR 1=1 --",
    "kopi & | ! : * ( ) <->",
    "!kopi",
    "kopi:*",
    "kopi:ABCD",
    ":*",
    "((((",
    "<-> kopi",
    "kopi <2> susu",
    '"kopi susu"',
    "kopi\0susu",
    "%_%",
    "\ud800",
    "\u202ekopi",
    "٣ kopi",
    "咖啡",
    "كوبي",
    "kopi " * 400,
    "a" * 10_000,
    " ".join(f"kata{n}" for n in range(500)),
    "-- DROP TABLE products;",
    "${jndi:ldap://x}",
    "{{7*7}}",
]


@pytest.mark.parametrize("query", HOSTILE)
async def test_any_text_is_a_fine_query(menu: Found, query: str) -> None:
    for result in (await menu.result(query), await menu.result("", category=query)):
        assert len(result.products) <= 8
        assert result.total <= 64


@pytest.mark.parametrize("query", ["!kopi", "kopi:*", "kopi & !susu", "'kopi'", "kopi\0", "(kopi"])
async def test_operators_are_read_as_words_only(menu: Found, query: str) -> None:
    words = query.replace("&", " ").replace("!", " ").strip("':*(\0 ")

    assert await menu.names(query) == await menu.names(words)
