"""Amounts of money in a text, in every spelling that customers and models use."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from commerce_agent.domain.services.number_words import NumberSeen, find_numbers, read_literal
from commerce_agent.domain.value_objects.currency import minor_digits

_SMALLEST_BARE = 1000
_SHARED = {
    "$": frozenset({"USD", "SGD", "AUD", "CAD", "HKD", "NZD"}),
    "¥": frozenset({"JPY", "CNY"}),
}
"""Signs that several currencies share."""
_CURRENCIES = {
    "rp": "IDR",
    "idr": "IDR",
    "rupiah": "IDR",
    "perak": "IDR",
    "$": "USD",
    "us$": "USD",
    "usd": "USD",
    "dollar": "USD",
    "dollars": "USD",
    "dolar": "USD",
    "buck": "USD",
    "bucks": "USD",
    "s$": "SGD",
    "sgd": "SGD",
    "rm": "MYR",
    "myr": "MYR",
    "ringgit": "MYR",
    "€": "EUR",
    "eur": "EUR",
    "euro": "EUR",
    "euros": "EUR",
    "£": "GBP",
    "gbp": "GBP",
    "¥": "JPY",
    "jpy": "JPY",
    "yen": "JPY",
}
_BEFORE = re.compile(
    r"(?<![a-z])([a-z]{0,3}[$€£¥]|rp|rm|rupiah|(?-i:[A-Z]{3}))[ \t.:]{0,3}\Z", re.IGNORECASE
)
_AFTER = re.compile(
    r"[ \t,-]{0,3}(rupiah|perak|rp|dollars?|dolar|bucks?|ringgit|euros?|yen|[$€£¥]|idr|usd|sgd"
    r"|myr|eur|gbp|jpy)(?![a-z])",
    re.IGNORECASE,
)
_MEASURE = re.compile(
    r"(?:[ \t]?-[ \t]?[\d.,]+)?[ \t-]?(?:gr?|grams?|kg|kilo(?:gram)?s?|mg|ml|mililiter|cl|l|ltr"
    r"|lit(?:er|re)s?|oz|cm|mm|m|met(?:er|re)s?|mdpl|dpl|masl|inch(?:es)?|inci|k?cal|kkal|kalori"
    r"|watt|mah|°?c)(?![a-z])",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"\b(?:jl|jln|jalan|alamat\w*|address|kec|kel|kota|kab|kode pos|postal code)\b", re.IGNORECASE
)
_PRICE_WORD = re.compile(
    r"(?:harga\w*|price[sd]?|costs?|biaya\w*|bayar\w*|tarif\w*|ongkir\w*|ongkos\w*|@)\W{0,3}"
    r"(?:(?:adalah|itu|is|at|cuma|hanya|only|just|sekitar|around|mulai|dari|from|about|jadi|nett?|cuman|now"
    r"|sekarang)\W{1,2}){0,3}\Z",
    re.IGNORECASE,
)
_PRICE_END = re.compile(
    r"[ \t]*(?:\Z|[.,!?;)\n]|(?:aja|saja|doang|ya|kak|only|per)\b)", re.IGNORECASE
)
_YEAR = re.compile(r"(?:19|20)\d\d")
_SPACED = re.compile(r"(?<![\d.,])\d(?:[ \t]{0,3}[.,]?[ \t]{1,3}\d|[._]\d(?=[ \t._,])){3,}(?!\d)")
_SPACE_GROUPED = re.compile(
    r"(?<![a-z])(rp|idr|[$€£¥])[ \t.:]{0,3}(\d{1,3}(?:[ \t]\d{3})+)(?!\d)", re.IGNORECASE
)
_RANGE = re.compile(
    r"(?<![\d.,])(\d{1,3}(?:[.,]\d{1,2})?)[ \t]?(?:-|sampai|s/d|to)[ \t]?"
    r"\d{1,3}(?:[.,]\d{1,2})?[ \t]?(rb|ribu|rebu|k|jt|juta)(?:-?an)?(?![a-z])",
    re.IGNORECASE,
)
_RANGE_SCALES = {"rb": 1_000, "ribu": 1_000, "rebu": 1_000, "k": 1_000}


@dataclass(frozen=True, slots=True)
class AmountSeen:
    """An amount of a text. ``end`` is exclusive."""

    start: int
    end: int
    value: str
    """Minor units as digits; with the currency's code in front if it is not the shop's."""
    is_bare: bool = False
    """Only digits without separators stand there: it may be another kind of number."""


def find_amounts(
    text: str, currency: str = "IDR", *, numbers: Iterable[NumberSeen] | None = None
) -> Iterator[AmountSeen]:
    """Every amount of a text that `visible_text` has made plain; ``numbers``, if they are known.

    An amount is a number with a currency, a number in thousands ("50rb"), one with separators of
    thousands, and any other from 1 000 up that is neither a year nor a measure.
    """
    yield from _ranges(text, currency)
    spaced = list(_spaced(text, currency))
    yield from spaced
    for number in find_numbers(text) if numbers is None else numbers:
        inside = any(each.start <= number.start < each.end for each in spaced)
        if not (inside or number.digits) and (amount := _amount(text, number, currency)):
            yield amount


def minor_units(value: Decimal, currency: str) -> str:
    """The digits under which a value of major units is kept as a fact."""
    minor = value.scaleb(minor_digits(currency))
    return str(int(minor)) if minor == minor.to_integral_value() else str(minor.normalize())


def _amount(text: str, number: NumberSeen, shop: str) -> AmountSeen | None:
    before = _BEFORE.search(text, max(0, number.start - 12), number.start)
    after = _AFTER.match(text, number.end)
    named = _named(before, shop) or _named(after, shop)
    if named is None and not _is_money(text, number):
        return None
    return AmountSeen(
        before.start() if before and named else number.start,
        after.end() if after and named else number.end,
        _value(number.value, named or shop, shop),
        is_bare=named is None
        and number.is_literal
        and not number.is_grouped
        and number.value >= _SMALLEST_BARE,
    )


def _named(mark: re.Match[str] | None, shop: str) -> str | None:
    """The currency that a mark beside a number names; ``None``: it names none."""
    if mark is None:
        return None
    word, own = mark[1].lower(), shop.lower()
    if word == own:
        return shop
    if word[-1] in _SHARED and shop in _SHARED[word[-1]] and own.startswith(word[:-1]):
        return shop  # "$", "A$" and "AU$" in a shop that counts in Australian dollars
    return _CURRENCIES.get(word) or _CURRENCIES.get(word[-1])


def _value(value: Decimal, named: str, shop: str) -> str:
    digits = minor_units(value, named)
    return digits if named == shop else f"{named} {digits}"


def _is_money(text: str, number: NumberSeen) -> bool:
    if number.is_literal and _MEASURE.match(text, number.end):
        return False
    start = max(0, number.start - 40)
    priced = _PRICE_WORD.search(text, start, number.start) is not None
    if number.is_scaled or number.is_grouped:
        return True
    if number.value >= _SMALLEST_BARE:
        digits = text[number.start : number.end]
        if digits.startswith("0") or len(digits) > 7 or text[: number.start][-1:].isalpha():
            return False  # a telephone or account number, or the end of a name
        if priced:
            return True
        is_postcode = len(digits) == 5 and _PLACE.search(text, max(0, start - 60), number.start)
        return not (is_postcode or _YEAR.fullmatch(digits))
    return priced and _PRICE_END.match(text, number.end) is not None


def _ranges(text: str, currency: str) -> Iterator[AmountSeen]:
    """The first of "20-30 ribu": its thousand stands behind the second."""
    for match in _RANGE.finditer(text):
        scale = _RANGE_SCALES.get(match[2].lower(), 1_000_000)
        value = read_literal(match[1], scaled=True) * scale
        yield AmountSeen(match.start(1), match.end(1), minor_units(value, currency))


def _spaced(text: str, currency: str) -> Iterator[AmountSeen]:
    """``5 0 . 0 0 0`` and ``Rp 50 000``."""
    for match in _SPACED.finditer(text):
        digits = "".join(character for character in match[0] if character.isdigit())
        if len(digits) < 8:
            yield AmountSeen(match.start(), match.end(), minor_units(Decimal(digits), currency))
    for match in _SPACE_GROUPED.finditer(text):
        amount = Decimal("".join(match[2].split()))
        value = _value(amount, _CURRENCIES[match[1].lower()], currency)
        yield AmountSeen(match.start(), match.end(), value)
