"""Nothing leaves that code did not supply: the check of every draft before it is sent."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from commerce_agent.domain.services.amounts import AmountSeen, find_amounts
from commerce_agent.domain.services.links import (
    Lead,
    LeadKind,
    find_addresses,
    find_long_numbers,
    same_address,
    same_number,
)
from commerce_agent.domain.services.number_words import NumberSeen, find_numbers
from commerce_agent.domain.services.promises import find_promises
from commerce_agent.domain.services.visible_text import read_lookalikes, visible_text
from commerce_agent.domain.services.whatsapp_text import to_whatsapp
from commerce_agent.domain.value_objects.facts import Fact, FactKind

_MARKS = str.maketrans("", "", "*_~`\\")
_MASK = "■"
_TIME = r"(?:[01]?\d|2[0-4])[.:][0-5]\d"
_DATES = re.compile(
    r"(?<!\d)(?:\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)?\d\d|(?:19|20)\d\d-\d{1,2}-\d{1,2}"
    r"|(?:19|20)\d\d ?[-/] ?(?:19|20)\d\d"
    rf"|{_TIME}(?: ?(?:-|sampai|s/d|to) ?{_TIME})?)(?!\d)(?![.,]\d)"
)
_ORDER = re.compile(
    r"(?<![\w-])[A-Za-z]{1,5}-\d{2,6}-\d{2,6}(?!\w)"
    r"|(?i:\b(?:order|pesanan|invoice|faktur|resi|tagihan|nota)\b[ \t]*"
    r"(?:no(?:mor|\.)?|number|id|#)[ \t.:#]*)([A-Za-z0-9][\w/-]{0,40}\d[\w/-]{0,40}|\d+)"
    r"|(?<![\w&])#[ \t]?([A-Za-z]{0,40}\d[\w-]{0,40})"
    r"|(?i:\b(?:nomor|no\.?|number)[ \t](?:order|pesanan|invoice|resi)\w*(?:[ \t]\w+){0,2}"
    r"[ \t:]{1,3})([A-Za-z0-9-]{0,40}\d[\w-]{0,40})"
    r"|(?i:\b(?:kode|code|voucher|kupon|coupon)\b[ \t:=]{1,3}"
    r"(?:(?:voucher|promo|diskon|kupon|code)[ \t:=]{1,3})?)([A-Z0-9]{4,40})\b"
)
_CODE = re.compile(
    r"(?<![\w-])(?:p\d{1,3}[a-z]{0,2}|P\d{1,3}[a-z]?)(?![\w-])"
    r"|(?<![\w-])(?=[A-Z0-9-]{0,60}\d)[A-Z][A-Z0-9]{1,30}(?:-[A-Z0-9]{1,30})+(?![\w-])"
)
_STOCK_BEFORE = re.compile(
    r"\b(?:stok|stock|persediaan)(?:nya)?[ \t:]{1,2}(?:\w+[ \t]){0,3}\Z", re.IGNORECASE
)
_STOCK_AFTER = re.compile(
    r"[ \t](?:(?:pcs|buah|porsi|cup|pack|bungkus|botol|loyang|potong|units?|pieces?|items?|bags?"
    r"|more)[ \t])?(?:left|in stock|remaining|tersisa|yang tersisa|lagi tersisa)\b",
    re.IGNORECASE,
)
_DISCOUNT_WORD = re.compile(
    r"\b(?:diskon|discount|potongan|promo|cash ?back|voucher|off|hemat|sale)\w*", re.IGNORECASE
)
_PERCENT = re.compile(
    r"(?<![\d.,])(\d{1,6}(?:[.,]\d{1,4})?) ?(?:%|persen\b|percent\b)", re.IGNORECASE
)


LONGEST_DRAFT = 6000
"""Characters. What is longer is no chat reply, and nobody would read it to the end."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Something a text says that must have been supplied. ``kinds`` are those that back it."""

    kinds: frozenset[FactKind]
    kind: FactKind
    value: str
    text: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A claim that nothing backs."""

    kind: FactKind
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def check_draft(draft: str, facts: Collection[Fact], *, currency: str = "IDR") -> list[Problem]:
    """What a draft (Markdown) says that none of the facts backs; empty when it may leave.

    It looks at what the customer will see. Amounts count in every spelling, links also when they
    are disguised, and numbers of eight digits or more always; quantities, times, dates, years and
    sizes are free. A problem's text is a piece of the draft in plain characters.
    """
    if len(draft) > LONGEST_DRAFT:
        return [Problem(FactKind.NUMBER, f"{len(draft)} characters are too many")]
    known = {(fact.kind, fact.value) for fact in facts}
    names = [fact.value for fact in facts if fact.kind is FactKind.NAME]
    problems: dict[Problem, None] = {}
    for claim in find_claims(_without_names(to_whatsapp(draft), names), currency=currency):
        if not any((kind, claim.value) in known for kind in claim.kinds):
            problems[Problem(claim.kind, claim.text)] = None
    return list(problems)


def fixed_facts(
    texts: Iterable[str], links: Iterable[str] = (), *, currency: str = "IDR"
) -> frozenset[Fact]:
    """What the shop's own texts (hours, address, policies) and links let every answer say."""
    found = {
        Fact(kind, claim.value)
        for text in texts
        for claim in find_claims(text, currency=currency)
        for kind in claim.kinds
    }
    return frozenset(found | {link_fact(link) for link in links})


@lru_cache(maxsize=8192)
def name_fact(name: str, *, currency: str = "IDR") -> Fact | None:
    """What lets an answer call a product by a name that sounds like a claim ("Paket Hemat 2").

    ``None`` for a name that needs no fact, and for one that holds an amount, a link or a long
    number: whoever writes the catalogue must not lead customers away with it.
    """
    claims = list(find_claims(name, currency=currency))
    kinds = {claim.kind for claim in claims if not _is_number(claim)}
    harmless = kinds <= {FactKind.PROMISE, FactKind.PRODUCT_CODE}
    return Fact(FactKind.NAME, name) if claims and harmless else None


def link_fact(link: str) -> Fact:
    return Fact(FactKind.URL, same_address(visible_text(link)))


def phone_fact(number: str) -> Fact:
    digits = "".join(character for character in number if character.isdigit())
    return Fact(FactKind.PHONE, same_number(digits))


def find_claims(text: str, *, currency: str = "IDR") -> Iterator[Claim]:
    """Everything of a text that must have been supplied."""
    shown = visible_text(text)
    addresses = list(find_addresses(shown))
    for lead in addresses:
        yield _claim(FactKind.URL, lead.value, shown[lead.start : lead.end])
    words = read_lookalikes(_mask(shown, addresses)).translate(_MARKS)
    yield from _promises(words)
    orders = list(_codes(words))
    yield from orders
    words = _CODE.sub(_masked, _ORDER.sub(_masked, words))
    yield from _numbers(words, currency)


def _is_number(claim: Claim) -> bool:
    return FactKind.NUMBER in claim.kinds


def _without_names(text: str, names: Iterable[str]) -> str:
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", _MASK, text, flags=re.IGNORECASE)
    return text


def _numbers(words: str, currency: str) -> Iterator[Claim]:
    numbers = list(find_numbers(words))
    amounts = list(find_amounts(words, currency, numbers=numbers))
    sure = [amount for amount in amounts if not amount.is_bare]
    free = [each for each in numbers if not any(_overlap(each, amount) for amount in sure)]
    rest = _DATES.sub(_masked, _mask(words, sure))
    long = [*find_long_numbers(rest), *_spoken_digits(free)]
    for lead in long:
        kind = FactKind.PHONE if lead.kind is LeadKind.PHONE else FactKind.ACCOUNT
        text = words[lead.start : lead.end]
        yield _claim(kind, lead.value, text, FactKind.PHONE, FactKind.ACCOUNT)
    for amount in amounts:
        if not (amount.is_bare and any(_overlap(amount, lead) for lead in long)):
            also = (FactKind.NUMBER,) if amount.is_bare else ()
            yield _claim(FactKind.AMOUNT, amount.value, words[amount.start : amount.end], *also)
    yield from _stock(words, free)


def _spoken_digits(numbers: Iterable[NumberSeen]) -> Iterator[Lead]:
    """ "nol delapan satu dua …" """
    for number in numbers:
        if len(number.digits) >= 6:
            yield Lead(LeadKind.PHONE, number.start, number.end, same_number(number.digits))


def _codes(text: str) -> Iterator[Claim]:
    for match in _ORDER.finditer(text):
        value = (match[match.lastindex or 0]).lower()
        yield _claim(FactKind.ORDER_NUMBER, value, match[0].strip())
    for match in _CODE.finditer(_ORDER.sub(_masked, text)):
        yield _claim(FactKind.PRODUCT_CODE, match[0].lower(), match[0])


def _stock(text: str, numbers: Iterable[NumberSeen]) -> Iterator[Claim]:
    for number in numbers:
        before = text[max(0, number.start - 40) : number.start]
        if _STOCK_BEFORE.search(before) or _STOCK_AFTER.match(text, number.end):
            yield _claim(FactKind.NUMBER, f"{number.value:f}", text[number.start : number.end])


def _promises(text: str) -> Iterator[Claim]:
    for seen in find_promises(text):
        yield _claim(FactKind.PROMISE, seen.promise, seen.text)
    for match in _PERCENT.finditer(text):
        near = text[max(0, match.start() - 40) : match.end() + 25]
        if _DISCOUNT_WORD.search(near):
            value = f"{match[1].replace(',', '.')}%"
            yield _claim(FactKind.PROMISE, value, match[0])


def _claim(kind: FactKind, value: str, text: str, *also: FactKind) -> Claim:
    return Claim(frozenset({kind, *also}), kind, value, text.strip())


def _overlap(one: NumberSeen | AmountSeen, other: AmountSeen | Lead) -> bool:
    return one.start < other.end and other.start < one.end


def _mask(text: str, spans: Iterable[AmountSeen | Lead]) -> str:
    """Cover pieces without moving the rest, so that positions stay true."""
    characters = list(text)
    for span in spans:
        characters[span.start : span.end] = _MASK * (span.end - span.start)
    return "".join(characters)


def _masked(match: re.Match[str]) -> str:
    return _MASK * len(match[0])
