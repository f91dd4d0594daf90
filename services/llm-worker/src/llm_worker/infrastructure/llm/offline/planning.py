"""Which tools the offline model calls next. It looks things up before it says anything of them."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llm_worker.infrastructure.llm.offline.dialogue import Dialogue, Result
from llm_worker.infrastructure.llm.offline.intents import Intent
from llm_worker.infrastructure.llm.offline.normalise import read
from llm_worker.infrastructure.llm.offline.understanding import Wish

SEARCH, DETAILS, STOCK = "search_products", "get_product_details", "check_stock"
PROFILE, CHANGE_PROFILE, HAND_OVER = (
    "get_customer_profile",
    "update_customer_profile",
    "hand_over_to_human",
)
_MOST_QUERIES = 3

Product = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    args: Mapping[str, Any]


def next_calls(dialogue: Dialogue, tools: Collection[str]) -> list[Call]:
    """The calls that are still missing; none when everything is known or cannot be asked.

    A call that was made in this turn is never made again, so this comes to an end.
    """
    if any(result.name == HAND_OVER for result in dialogue.results):
        return []
    if reason := wants_person(dialogue):
        wanted: Iterator[Call] = iter([_hand_over(dialogue, reason)])
    else:
        wanted = _wanted(dialogue)
    calls: list[Call] = []
    for call in wanted:
        is_new = call not in calls and dialogue.result(call.name, call.args) is None
        if is_new and call.name in tools:
            calls.append(call)
    return calls


def wants_person(dialogue: Dialogue) -> str | None:
    """Why a person should take over: ``request`` or ``complaint``; ``None``: no need."""
    for understood in dialogue.heard:
        if understood.has(Intent.COMPLAINT):
            return "complaint"
        if understood.has(Intent.PERSON):
            return "request"
        if understood.has(Intent.YES) and dialogue.offered_person:
            return "request"
    return None


def resolve(dialogue: Dialogue, wish: Wish, position: int) -> tuple[str, ...]:
    """The queries of a wish of message ``position``, with what was spoken of before filled in."""
    if wish.ordinal is not None:
        name = _nth(dialogue, wish.ordinal)
        return (name,) if name else ()
    if wish.queries:
        return wish.queries[:_MOST_QUERIES]
    if not wish.modifiers and _starts_anew(wish):
        return ()
    topic = topic_of(dialogue, wish, position)
    if wish.modifiers:
        return (" ".join((topic, *wish.modifiers)).strip(),)
    return (topic,) if topic else ()


def _starts_anew(wish: Wish) -> bool:
    """ "menu" and "anything under 20k" ask about the whole shop, whatever was spoken of."""
    if wish.intent in (Intent.BROWSE, Intent.RECOMMEND):
        return True
    return (wish.cheapest or wish.budget is not None) and not wish.narrows


def needs_topic(wish: Wish) -> bool:
    """Whether the wish speaks of "it" without a word that says of what."""
    asks_about_one = wish.intent in (Intent.PRICE, Intent.STOCK, Intent.DETAILS, Intent.ORDER)
    return asks_about_one and not (wish.queries or wish.modifiers or wish.cheapest or wish.budget)


def search_result(dialogue: Dialogue, query: str) -> Result | None:
    return dialogue.result(SEARCH, {"query": query})


def best_found(dialogue: Dialogue, wish: Wish, query: str) -> tuple[str, Result | None]:
    """What a query found, and under which words. "Any cold ones?" after croissants means drinks:
    when what was spoken of has none, the narrowing word alone is what was asked for."""
    result = search_result(dialogue, query)
    if wish.modifiers and result is not None and result.is_near:
        alone = " ".join(wish.modifiers)
        other = search_result(dialogue, alone)
        if other is not None and products_of(other) and not other.is_near:
            return alone, other
    return query, result


def products_of(result: Result | None) -> list[Product]:
    if result is None or result.failed:
        return []
    found = result.data.get("products")
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def the_one(result: Result | None, query: str) -> Product | None:
    """The product that ``query`` names; ``None`` when it names a kind, or several fit."""
    products = products_of(result)
    wanted = frozenset(read(query).words)
    if not wanted:
        return None
    exact = [each for each in products if frozenset(read(_name(each)).words) == wanted]
    if exact:
        return exact[0]
    if result is None or result.is_near:
        return None  # only the nearest, not what was asked for
    if len(products) == 1:
        return products[0]
    covering = [each for each in products if wanted <= frozenset(read(_name(each)).words)]
    return covering[0] if len(covering) == 1 and len(wanted) > 1 else None


def _name(product: Product) -> str:
    return str(product.get("name", ""))


def _wanted(dialogue: Dialogue) -> Iterator[Call]:
    for position, understood in enumerate(dialogue.heard):
        for wish in understood.wishes:
            if wish.intent is Intent.PROFILE_CHANGE:
                yield Call(CHANGE_PROFILE, dict(wish.profile))
            elif wish.intent is Intent.PROFILE_QUESTION:
                yield Call(PROFILE, {})
            elif understood.product is wish:
                yield from _lookups(dialogue, wish, position)


def _lookups(dialogue: Dialogue, wish: Wish, position: int) -> Iterator[Call]:
    queries = resolve(dialogue, wish, position)
    if not queries:
        if not needs_topic(wish) and wish.ordinal is None:
            yield Call(SEARCH, {"query": ""})
        return
    for query in queries:
        yield Call(SEARCH, {"query": query})
        result = search_result(dialogue, query)
        if result is None or result.failed:
            continue
        products = products_of(result)
        if not products:
            yield from _second_tries(dialogue, wish, position, result)
        elif wish.modifiers and result.is_near:
            yield Call(SEARCH, {"query": " ".join(wish.modifiers)})
        elif one := the_one(result, query):
            yield from _questions_about(one, wish)


def _second_tries(dialogue: Dialogue, wish: Wish, position: int, empty: Result) -> Iterator[Call]:
    """Nothing was found: look at the kind without its narrowing, then at what there is at all,
    unless the tool has named the categories by itself."""
    topic = topic_of(dialogue, wish, position) if wish.modifiers else ""
    if topic:
        yield Call(SEARCH, {"query": topic})
        wider = search_result(dialogue, topic)
        if wider is None or products_of(wider):
            return
    if not empty.data.get("categories"):
        yield Call(SEARCH, {"query": ""})


def _questions_about(product: Product, wish: Wish) -> Iterator[Call]:
    code = product.get("code")
    if not isinstance(code, str):
        return
    if wish.intent in (Intent.STOCK, Intent.ORDER):
        yield Call(STOCK, {"product": code})
    elif wish.intent is Intent.DETAILS or wish.ordinal is not None:
        yield Call(DETAILS, {"product": code})


def topic_of(dialogue: Dialogue, wish: Wish, position: int) -> str:
    """What was spoken of before message ``position``, as a query; empty when nothing was."""
    if needs_topic(wish) and len(dialogue.listed) == 1:
        return dialogue.listed[0]
    before = (*dialogue.earlier, *dialogue.heard[:position])
    for understood in reversed(before):
        product = understood.product
        if product is None:
            continue
        if product.ordinal is not None:
            name = _nth(dialogue, product.ordinal)
            if name:
                return name
        if product.queries:
            return product.queries[-1]
    return ""


def _nth(dialogue: Dialogue, ordinal: int) -> str | None:
    """The product of that number in the newest list that is long enough."""
    for names in dialogue.numbered:
        if ordinal == -1:
            return names[-1]
        if ordinal <= len(names):
            return names[ordinal - 1]
    return None


def _hand_over(dialogue: Dialogue, reason: str) -> Call:
    said = " / ".join((*dialogue.earlier_texts[-2:], *dialogue.texts))
    said = re.sub(r"\s+", " ", said).strip()[-300:]
    if dialogue.language == "id":
        why = "Pelanggan menyampaikan keluhan" if reason == "complaint" else "Pelanggan minta staf"
    else:
        why = "The customer complains" if reason == "complaint" else "The customer asks for staff"
    return Call(HAND_OVER, {"reason": why, "summary": f"{why}: {said}"})
