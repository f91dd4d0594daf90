"""What a product promises."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from commerce_agent.domain.entities.product import (
    LARGEST_PRICE,
    LARGEST_STOCK,
    MOST_VARIANTS,
    BadProduct,
    Product,
    ProductDraft,
    SkuTaken,
    StockBelowReserved,
    VariantDraft,
    VariantNotFound,
)
from commerce_agent.domain.events.product_events import (
    PriceChanged,
    ProductCreated,
    ProductRestored,
    ProductRetired,
    ProductUpdated,
    StockSet,
    VariantAdded,
    VariantUpdated,
)
from commerce_agent.domain.value_objects.ids import VariantId
from commerce_agent.domain.value_objects.text import BadText
from shared.kernel.errors import DomainError
from shared.kernel.ids import TenantId, new_id
from shared.kernel.money import CurrencyMismatch, Money

AT = datetime(2026, 3, 1, tzinfo=UTC)
TENANT = TenantId(new_id())


def a_variant(sku: str = "KS-1", **fields: Any) -> VariantDraft:
    return VariantDraft(**({"sku": sku, "price": Money(25_000, "IDR"), "on_hand": 10} | fields))


def a_product(*variants: VariantDraft, **fields: Any) -> Product:
    draft = ProductDraft(**({"name": "Kopi Susu", "variants": variants or (a_variant(),)} | fields))
    product = Product.create(draft, tenant_id=TENANT, currency="IDR", at=AT)
    product.pull_events()
    return product


def reserved(product: Product, number: int) -> Product:
    product.variants = (replace(product.variants[0], reserved=number), *product.variants[1:])
    return product


def test_a_new_product_is_tidied_and_tells_of_itself() -> None:
    draft = ProductDraft(
        name="  Kopi \t Susu ",
        category=" Kopi  Dingin",
        description=" a\r\nb ",
        variants=[a_variant()],
    )

    product = Product.create(draft, tenant_id=TENANT, currency="IDR", at=AT)

    assert (product.name, product.category, product.description) == (
        "Kopi Susu",
        "Kopi Dingin",
        "a\nb",
    )
    assert product.pull_events() == [
        ProductCreated(tenant_id=TENANT, occurred_at=AT, product_id=product.id)
    ]
    assert product.pull_events() == []


def test_stock_is_what_is_on_hand_less_what_is_promised() -> None:
    variant = reserved(a_product(), 4).variants[0]

    assert (variant.on_hand, variant.reserved, variant.stock) == (10, 4, 6)
    assert variant.is_available
    assert not replace(variant, reserved=10).is_available
    assert not replace(variant, active=False).is_available


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"name": ""}, BadText),
        ({"name": " \t "}, BadText),
        ({"name": "x" * 201}, BadText),
        ({"name": "Kopi\x00Susu"}, BadText),
        ({"name": "Kopi\nSusu"}, BadText),
        ({"name": "Kopi\u202eusuS"}, BadText),
        ({"category": "x" * 101}, BadText),
        ({"description": "x" * 4001}, BadText),
        ({"description": "a\x07"}, BadText),
        ({"variants": ()}, BadProduct),
        ({"variants": [a_variant(), a_variant()]}, SkuTaken),
        ({"variants": [a_variant(str(n)) for n in range(MOST_VARIANTS + 1)]}, BadProduct),
        ({"variants": [a_variant("")]}, BadProduct),
        ({"variants": [a_variant("KS 1")]}, BadProduct),
        ({"variants": [a_variant("-KS")]}, BadProduct),
        ({"variants": [a_variant("x" * 65)]}, BadProduct),
        ({"variants": [a_variant(name="x" * 101)]}, BadText),
        ({"variants": [a_variant(price=Money(-1, "IDR"))]}, BadProduct),
        ({"variants": [a_variant(price=Money(LARGEST_PRICE + 1, "IDR"))]}, BadProduct),
        ({"variants": [a_variant(price=Money(1, "USD"))]}, CurrencyMismatch),
        ({"variants": [a_variant(on_hand=-1)]}, BadProduct),
        ({"variants": [a_variant(on_hand=LARGEST_STOCK + 1)]}, BadProduct),
        ({"variants": [a_variant(attributes={"": "x"})]}, BadText),
        ({"variants": [a_variant(attributes={"a": "x" * 201})]}, BadText),
        ({"variants": [a_variant(attributes={str(n): "" for n in range(21)})]}, BadProduct),
        ({"images": ["../secret.png"]}, BadProduct),
        ({"images": ["/etc/passwd"]}, BadProduct),
        ({"images": ["a//b.png"]}, BadProduct),
        ({"images": ["a\\..\\b.png"]}, BadProduct),
        ({"images": ["http://x/y.png"]}, BadProduct),
        ({"images": ["a.png"] * 11}, BadText),
    ],
)
def test_a_product_out_of_bounds_is_refused(
    fields: dict[str, Any], error: type[DomainError]
) -> None:
    with pytest.raises(error):
        a_product(**fields)


def test_a_refused_sku_is_named() -> None:
    with pytest.raises(SkuTaken) as refused:
        a_product(a_variant("A"), a_variant("B"), a_variant("A"))

    assert refused.value.data == {"skus": ["A"]}


def test_each_change_is_told_once() -> None:
    product = a_product()

    product.rename("Kopi Susu Aren", at=AT)
    product.rename("Kopi  Susu Aren", at=AT)
    product.describe(category="Kopi", description="Enak", at=AT)
    product.describe(category="Kopi", description=None, at=AT)
    product.show(["demo/a.png"], at=AT)

    assert (product.name, product.category, product.description, product.images) == (
        "Kopi Susu Aren",
        "Kopi",
        "Enak",
        ("demo/a.png",),
    )
    assert product.pull_events() == [
        ProductUpdated(tenant_id=TENANT, occurred_at=AT, product_id=product.id, fields=fields)
        for fields in (("name",), ("category", "description"), ("images",))
    ]


def test_an_empty_text_clears_and_none_leaves() -> None:
    product = a_product(category="Kopi", description="Enak")

    product.describe(category="", at=AT)

    assert (product.category, product.description) == ("", "Enak")


def test_retiring_and_restoring_twice_is_told_once() -> None:
    product = a_product()

    for _ in range(2):
        product.retire(at=AT)
    for _ in range(2):
        product.restore(at=AT)

    assert product.active
    assert [type(event) for event in product.pull_events()] == [ProductRetired, ProductRestored]


def test_a_new_price_is_told_with_its_amount() -> None:
    product = a_product()
    variant_id = product.variants[0].id

    product.set_price(variant_id, Money(27_000, "IDR"), at=AT)
    product.set_price(variant_id, Money(27_000, "IDR"), at=AT)

    assert product.variants[0].price == Money(27_000, "IDR")
    assert product.pull_events() == [
        PriceChanged(
            tenant_id=TENANT,
            occurred_at=AT,
            product_id=product.id,
            variant_id=variant_id,
            amount=27_000,
            currency="IDR",
        )
    ]


@pytest.mark.parametrize(
    ("price", "error"),
    [
        (Money(-1, "IDR"), BadProduct),
        (Money(LARGEST_PRICE + 1, "IDR"), BadProduct),
        (Money(1, "USD"), CurrencyMismatch),
    ],
)
def test_a_refused_price_changes_nothing(price: Money, error: type[DomainError]) -> None:
    product = a_product()

    with pytest.raises(error):
        product.set_price(product.variants[0].id, price, at=AT)

    assert product.variants[0].price == Money(25_000, "IDR")
    assert product.pull_events() == []


def test_stock_may_fall_to_what_is_promised_and_no_further() -> None:
    product = reserved(a_product(), 4)
    variant_id = product.variants[0].id

    product.set_stock(variant_id, 4, at=AT)
    with pytest.raises(StockBelowReserved) as refused:
        product.set_stock(variant_id, 3, at=AT)

    assert (product.variants[0].on_hand, product.variants[0].stock) == (4, 0)
    assert refused.value.data == {"sku": "KS-1", "reserved": 4, "wanted": 3}
    assert [type(event) for event in product.pull_events()] == [StockSet]


def test_a_variant_of_another_product_is_not_found() -> None:
    product, stranger = a_product(), VariantId(new_id())

    for change in (
        lambda: product.set_price(stranger, Money(1, "IDR"), at=AT),
        lambda: product.set_stock(stranger, 1, at=AT),
        lambda: product.change_variant(stranger, name="x", at=AT),
    ):
        with pytest.raises(VariantNotFound):
            change()
    assert product.pull_events() == []


def test_an_added_variant_comes_last() -> None:
    product = a_product(a_variant("A"))

    added = product.add_variant(a_variant("B", name="Besar"), at=AT)
    with pytest.raises(SkuTaken):
        product.add_variant(a_variant("A"), at=AT)
    with pytest.raises(CurrencyMismatch):
        product.add_variant(a_variant("C", price=Money(1, "USD")), at=AT)

    assert [variant.sku for variant in product.variants] == ["A", "B"]
    assert product.pull_events() == [
        VariantAdded(
            tenant_id=TENANT,
            occurred_at=AT,
            product_id=product.id,
            variant_id=added.id,
            sku="B",
        )
    ]


def test_a_variant_is_changed_field_by_field() -> None:
    product = a_product(a_variant(attributes={"ukuran": "kecil"}))
    variant_id = product.variants[0].id

    product.change_variant(variant_id, name="Besar", active=False, at=AT)
    product.change_variant(variant_id, name="Besar", at=AT)

    changed = product.variant(variant_id)
    assert (changed.name, changed.attributes, changed.active) == (
        "Besar",
        {"ukuran": "kecil"},
        False,
    )
    assert product.pull_events() == [
        VariantUpdated(
            tenant_id=TENANT,
            occurred_at=AT,
            product_id=product.id,
            variant_id=variant_id,
            fields=("name", "active"),
        )
    ]
