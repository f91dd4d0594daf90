import io
from pathlib import Path

import pytest
from PIL import Image

from ai_platform.demo.colours import mix
from ai_platform.demo.motifs import MOTIFS
from ai_platform.demo.pictures import SIDE, draw, draw_missing
from ai_platform.demo.shop import Picture, kopi_braga
from commerce_agent.domain.value_objects.phone import parse_phone

SHOP = kopi_braga()
VARIANTS = [variant for product in SHOP.products for variant in product.variants]


def test_there_are_sixty_products_in_several_categories() -> None:
    assert len(SHOP.products) >= 60
    assert len({product.category for product in SHOP.products}) >= 8
    assert len({product.name for product in SHOP.products}) == len(SHOP.products)


def test_every_variant_can_be_told_apart_and_costs_something() -> None:
    assert len({variant.sku for variant in VARIANTS}) == len(VARIANTS)
    assert all(1_000 <= variant.price <= 1_000_000 for variant in VARIANTS)
    for product in SHOP.products:
        names = [variant.name for variant in product.variants]
        assert len(set(names)) == len(names)
        assert all(names) or len(names) == 1


def test_a_few_things_are_out_of_stock() -> None:
    sold_out = [p for p in SHOP.products if all(v.stock == 0 for v in p.variants)]
    assert 2 <= len(sold_out) <= 6
    assert all(variant.stock >= 0 for variant in VARIANTS)


def test_every_product_is_described() -> None:
    assert all(len(product.description) >= 15 for product in SHOP.products)


def test_customers_have_numbers_that_whatsapp_could_have() -> None:
    assert [parse_phone(customer.phone) for customer in SHOP.customers] == [
        customer.phone for customer in SHOP.customers
    ]


def test_every_synonym_leads_into_the_catalogue() -> None:
    catalogue = " ".join(
        f"{p.name} {p.category} {p.description} {' '.join(v.name for v in p.variants)}"
        for p in SHOP.products
    ).lower()
    for word, means in SHOP.synonyms.items():
        assert word == word.lower()
        assert word not in means
        for phrase in means:
            assert all(part in catalogue for part in phrase.split()), phrase


def test_every_motif_is_used_and_known() -> None:
    assert {product.picture.motif for product in SHOP.products} == set(MOTIFS)


@pytest.mark.parametrize("motif", sorted(MOTIFS))
def test_a_picture_is_the_same_every_time(motif: str) -> None:
    picture = Picture(motif=motif, colour="#6f4323", accent="#f0c36b")
    drawn = draw(picture)
    assert draw(picture) == drawn
    with Image.open(io.BytesIO(drawn)) as image:
        assert (image.format, image.size) == ("JPEG", (SIDE, SIDE))


def test_only_missing_pictures_are_drawn(tmp_path: Path) -> None:
    few = SHOP.products[:2]
    kept = tmp_path / f"{few[0].code}.jpg"
    kept.write_bytes(b"mine")
    draw_missing(few, tmp_path)
    assert kept.read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{p.code}.jpg" for p in few)


def test_colours_mix() -> None:
    assert mix("#000000", "#ffffff", 0.5) == "#808080"
    assert mix("#102030", "#ffffff", 0) == "#102030"
