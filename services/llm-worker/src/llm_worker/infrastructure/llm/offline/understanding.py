"""What a customer wants, read from one message."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from llm_worker.infrastructure.llm.offline import told
from llm_worker.infrastructure.llm.offline.intents import (
    ATTACHED,
    NO,
    PATTERNS,
    PRODUCT_INTENTS,
    YES,
    Intent,
)
from llm_worker.infrastructure.llm.offline.normalise import (
    LONGEST,
    food_language_of,
    language_of,
    read,
)
from llm_worker.infrastructure.llm.offline.words import (
    CHEAP,
    FILLER,
    JOINERS,
    MODIFIERS,
    ORDINALS,
    QUANTITIES,
)


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing a message asks for."""

    intent: Intent
    queries: tuple[str, ...] = ()
    """Products or kinds of products by the words that name them; empty: what was spoken of."""
    modifiers: tuple[str, ...] = ()
    """"yang dingin", when it narrows what was spoken of before."""
    ordinal: int | None = None
    """Position in the list that was shown, from 1; -1 is the last."""
    cheapest: bool = False
    budget: int | None = None
    """Highest price, in whole units."""
    narrows: bool = False
    """Said of what was spoken of: "yang murah", "the cheap one"."""
    profile: Mapping[str, str] = field(default_factory=dict)
    """Fields of the customer's profile to change."""


@dataclass(frozen=True, slots=True)
class Understood:
    wishes: tuple[Wish, ...]
    language: str | None
    """``None`` when the message does not tell."""
    food_language: str | None = None
    """The language of the food it names, for when nothing else tells."""

    def has(self, intent: Intent) -> bool:
        return any(wish.intent is intent for wish in self.wishes)

    @property
    def product(self) -> Wish | None:
        """The wish about products, if there is one."""
        return next((wish for wish in self.wishes if wish.intent in PRODUCT_INTENTS), None)


_ATTACHMENTS = {"location": Intent.LOCATION, "sticker": Intent.STICKER}
_COURTESIES = frozenset({Intent.GREETING, Intent.THANKS, Intent.GOODBYE})
_SETTLES_ALL = frozenset(
    {Intent.PERSON, Intent.COMPLAINT, Intent.ORDER_STATUS, Intent.OFF_TOPIC, Intent.WHO}
)
_NAMES_TOO = frozenset({"coklat", "chocolate", "keju", "cheese"})
"""Modifiers that are things of their own, unless somebody says "yang keju"."""
_MOST_DEMANDING_FIRST = (
    Intent.ORDER,
    Intent.STOCK,
    Intent.DETAILS,
    Intent.PRICE,
    Intent.RECOMMEND,
    Intent.BROWSE,
)
_ORDINAL = re.compile(
    r"(?<!\S)(?:(?:yang|kalau|the|option|pilihan) )*"
    rf"(?:(?:nomor|no|number) (?P<digit>\d)|(?P<word>{'|'.join(ORDINALS)}))(?: one| item)?(?!\S)"
)


def understand(message: str) -> Understood:
    """Read one message. There is always at least one wish, at worst `Intent.UNKNOWN`."""
    attached, message = _attachment(message[:LONGEST])
    if attached and not message:
        return Understood(attached, None)
    utterance = read(message)
    language = language_of(utterance)
    whole = utterance.text.strip(" ,")
    for intent, pattern in ((Intent.NO, NO), (Intent.YES, YES)):
        if pattern.fullmatch(whole):
            return Understood((*attached, Wish(intent)), language)
    wishes = (*attached, *_wishes(message))
    return Understood(wishes, language, food_language_of(utterance))


def _attachment(message: str) -> tuple[tuple[Wish, ...], str]:
    """What came with the text, and the text alone."""
    match = ATTACHED.match(message)
    if match is None:
        return (), message
    intent = _ATTACHMENTS.get(match["kind"], Intent.MEDIA)
    return (Wish(intent),), message[match.end() :].strip()


def _wishes(message: str) -> Iterator[Wish]:
    profile, message = told.profile_changes(message)
    if profile:
        yield Wish(Intent.PROFILE_CHANGE, profile=profile)
    budget, message = told.budget(message)
    found, rest = _find_intents(read(message).text)
    others = [intent for intent in found if intent not in PRODUCT_INTENTS]
    yield from (Wish(intent) for intent in others)
    wish = _product_wish(found, rest, budget)
    if wish is not None and not _is_settled_by(others, wish):
        yield wish
    elif not others and not profile:
        yield Wish(Intent.UNKNOWN)


def _is_settled_by(others: list[Intent], wish: Wish) -> bool:
    """ "alamatnya di mana" and "berapa ongkirnya" are no questions about a product."""
    if _SETTLES_ALL & set(others):
        return True
    asks_shop = bool(set(others) - _COURTESIES)
    return asks_shop and not wish.queries and wish.ordinal is None


def _find_intents(text: str) -> tuple[list[Intent], str]:
    found: list[Intent] = []
    for intent, pattern in PATTERNS:
        if pattern.search(text):
            found.append(intent)
            text = " ".join(pattern.sub(" , ", text).split())
    return found, text


def _product_wish(found: list[Intent], rest: str, budget: int | None) -> Wish | None:
    ordinal, rest = _ordinal(rest)
    words = rest.split()
    queries, modifiers = _names(words)
    cheapest = any(word in CHEAP for word in words)
    names_something = bool(queries or modifiers or cheapest or budget or ordinal is not None)
    asked = [intent for intent in found if intent in PRODUCT_INTENTS]
    if not (asked or names_something):
        return None
    return Wish(
        _main_intent(asked, names_something),
        queries=queries,
        modifiers=modifiers,
        ordinal=ordinal,
        cheapest=cheapest,
        budget=budget,
        narrows=_narrows(words),
    )


def _main_intent(asked: list[Intent], names_something: bool) -> Intent:
    """Who orders and asks for the price is answered as ordering."""
    intent = next((each for each in _MOST_DEMANDING_FIRST if each in asked), Intent.SEARCH)
    return Intent.SEARCH if intent is Intent.BROWSE and names_something else intent


def _names(words: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Queries, or the modifiers when there is nothing else: ("yang dingin")."""
    queries = tuple(_queries(words))
    named = " ".join(queries).split()
    if not named or not all(word in MODIFIERS for word in named):
        return queries, ()
    if _narrows(words) or not _NAMES_TOO.issuperset(named):
        return (), tuple(named)
    return queries, ()


def _narrows(words: list[str]) -> bool:
    return bool({"yang", "one", "ones"} & set(words))


def _queries(words: list[str]) -> Iterator[str]:
    """What is left of the words when those that never name a product are gone, cut at "and"."""
    part: list[str] = []
    unwanted = False
    for word in [*words, ","]:
        if word in ("tanpa", "without", "no"):
            unwanted = True
            continue
        if word in JOINERS:
            if part:
                yield " ".join(part)
            part = []
        elif not unwanted and _may_name_a_product(word):
            part.append(_bare(word))
        unwanted = False


def _may_name_a_product(word: str) -> bool:
    if word in FILLER or word in QUANTITIES or word in CHEAP or word in ORDINALS:
        return False
    return len(word) > 1 and re.search(r"[^\W\d_]", word) is not None and word[:2] != "x1"


def _bare(word: str) -> str:
    """ "croissantnya" is a croissant."""
    return (word.removesuffix("nya") if len(word) > 6 else word).replace("-", " ")


def _ordinal(text: str) -> tuple[int | None, str]:
    match = _ORDINAL.search(text)
    if match is None:
        return None, text
    number = int(match["digit"]) if match["digit"] else ORDINALS[match["word"]]
    return number, f"{text[: match.start()]} , {text[match.end() :]}"
