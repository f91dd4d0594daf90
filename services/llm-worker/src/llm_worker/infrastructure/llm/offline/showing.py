"""Products as a customer reads them, made of what the tools said and of nothing else."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from llm_worker.infrastructure.llm.offline.planning import Product

MOST_PRODUCTS = 8
_MOST_VARIANTS_IN_LINE = 3

Phrases = Mapping[str, str]


def variants_of(product: Product) -> list[Mapping[str, Any]]:
    found = product.get("variants")
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def is_available(product: Product) -> bool:
    """Whether any variant can be had; a product that says nothing of stock counts as there."""
    variants = variants_of(product)
    if not variants:
        return product.get("available") is not False
    return any(each.get("available") is not False for each in variants)


def lowest_price(product: Product) -> int:
    """For sorting only; what is shown is the price as the tool wrote it."""
    prices = [amount_of(str(each.get("price", ""))) for each in variants_of(product)]
    return min((price for price in prices if price is not None), default=0)


def amount_of(price: str) -> int | None:
    """``Rp25.000`` is 25000 and ``$12.50`` is 12: whole units."""
    digits = re.sub(r"[.,]\d{1,2}(?!\d)", "", price)
    digits = re.sub(r"\D", "", digits)
    return int(digits) if digits else None


def line(product: Product, words: Phrases) -> str:
    """``**Kopi Susu** – Panas Rp18.000 · Dingin Rp20.000``"""
    text = f"**{product.get('name', '')}**"
    if prices := _prices(product, words):
        text += f" – {prices}"
    return text if is_available(product) else f"{text} {words['sold_out_mark']}"


def numbered(products: Sequence[Product], words: Phrases, *, first: int = 1) -> str:
    """One product a line, numbered from ``first``."""
    return "\n".join(
        f"{position}. {line(product, words)}"
        for position, product in enumerate(products, start=first)
    )


def block(product: Product, words: Phrases, *, description: bool = True) -> str:
    """One product at length: variants below each other, and what it is."""
    name, variants = f"**{product.get('name', '')}**", variants_of(product)
    if len(variants) > 1:
        rows = [f"- {_variant(each, words)}" for each in variants]
        text = "\n".join((name, *rows))
    else:
        text = f"{name} – {variants[0]['price']}" if _has_price(variants) else name
    told = str(product.get("description") or "").strip()
    return f"{text}\n{told}" if description and told else text


def stock(data: Mapping[str, Any], words: Phrases) -> str:
    """What `check_stock` answered."""
    name, variants = f"**{data.get('name', '')}**", variants_of(data)
    if len(variants) > 1:
        rows = [_stock_row(each, words) for each in variants]
        return "\n".join((words["stock_head"].format(product=name), *rows))
    amount = data.get("stock")
    if data.get("available") is False or amount == 0:
        return words["out_of_stock"].format(product=name)
    if isinstance(amount, int):
        return words["in_stock_number"].format(product=name, stock=amount)
    return words["in_stock"].format(product=name)


def categories(products: Sequence[Product], data: Mapping[str, Any]) -> list[str]:
    """The shop's categories: as the tool lists them, else as its products show them."""
    listed = data.get("categories")
    found = listed if isinstance(listed, list) else [each.get("category") for each in products]
    return list(dict.fromkeys(str(each) for each in found if each))[:MOST_PRODUCTS]


def _stock_row(variant: Mapping[str, Any], words: Phrases) -> str:
    amount = variant.get("stock")
    is_gone = variant.get("available") is False or amount == 0 or amount is None
    key = "stock_line_none" if is_gone else "stock_line"
    return words[key].format(variant=variant.get("name", ""), stock=amount)


def _has_price(variants: Sequence[Mapping[str, Any]]) -> bool:
    return bool(variants) and bool(variants[0].get("price"))


def _variant(variant: Mapping[str, Any], words: Phrases) -> str:
    text = f"{variant.get('name', '')}: {variant.get('price', '')}"
    gone = variant.get("available") is False
    return f"{text} {words['sold_out_mark']}" if gone else text


def _prices(product: Product, words: Phrases) -> str:
    variants = [each for each in variants_of(product) if each.get("price")]
    prices = list(dict.fromkeys(str(each["price"]) for each in variants))
    if len(prices) <= 1:
        return "".join(prices)
    if len(variants) <= _MOST_VARIANTS_IN_LINE:
        return " · ".join(f"{each.get('name', '')} {each['price']}".strip() for each in variants)
    lowest = min(prices, key=lambda price: amount_of(price) or 0)
    return words["from_price"].format(price=lowest)
