"""The demo shop as data: who it is, what it sells, who its simulated customers are."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, kw_only=True)
class DemoVariant:
    sku: str
    name: str
    price: int
    """Rupiah."""
    stock: int


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What `pictures.draw` draws: a motif in two colours."""

    motif: str
    colour: str
    accent: str


@dataclass(frozen=True, kw_only=True)
class DemoProduct:
    code: str
    """Names the picture's file."""
    name: str
    category: str
    description: str
    picture: Picture
    variants: tuple[DemoVariant, ...]


@dataclass(frozen=True, kw_only=True)
class DemoCustomer:
    name: str
    phone: str


@dataclass(frozen=True, kw_only=True)
class DemoShop:
    slug: str
    name: str
    about: str
    address: str
    hours: str
    policies: tuple[str, ...]
    products: tuple[DemoProduct, ...]
    customers: tuple[DemoCustomer, ...]
    synonyms: Mapping[str, tuple[str, ...]]
    """What customers say and what the catalogue calls it."""
    fingerprint: str
    """Changes when the data does."""


@cache
def kopi_braga() -> DemoShop:
    """A coffee and bakery shop in Bandung."""
    text = resources.files("ai_platform.demo").joinpath("data/kopi_braga.json").read_text("utf-8")
    data = json.loads(text)
    policies = tuple(data["shop"].pop("policies"))
    return DemoShop(
        **data["shop"],
        policies=policies,
        products=tuple(_product(entry) for entry in data["products"]),
        customers=tuple(DemoCustomer(**entry) for entry in data["customers"]),
        synonyms={word: tuple(means) for word, means in data["synonyms"].items()},
        fingerprint=hashlib.sha256(text.encode()).hexdigest()[:16],
    )


def _product(entry: dict[str, object]) -> DemoProduct:
    fields = dict(entry)
    picture, variants = fields.pop("picture"), fields.pop("variants")
    assert isinstance(picture, dict)
    assert isinstance(variants, list)
    return DemoProduct(
        **fields,  # type: ignore[arg-type]
        picture=Picture(**picture),
        variants=tuple(DemoVariant(**variant) for variant in variants),
    )
