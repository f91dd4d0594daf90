"""The part of a reply that is about products."""

import re
from collections.abc import Sequence

from llm_worker.infrastructure.llm.offline import showing
from llm_worker.infrastructure.llm.offline.dialogue import Dialogue, Result
from llm_worker.infrastructure.llm.offline.intents import Intent
from llm_worker.infrastructure.llm.offline.planning import (
    DETAILS,
    STOCK,
    Product,
    best_found,
    needs_topic,
    products_of,
    resolve,
    search_result,
    the_one,
    topic_of,
)
from llm_worker.infrastructure.llm.offline.reply import Reply
from llm_worker.infrastructure.llm.offline.understanding import Wish
from llm_worker.infrastructure.llm.offline.words import MODIFIERS


class ProductAnswers:
    """Writes into ``reply`` what this turn's tools said of the products that were asked for."""

    def __init__(self, dialogue: Dialogue, reply: Reply) -> None:
        self._dialogue = dialogue
        self._reply = reply
        self._words = reply.words
        self._listed = 0
        self._longest_list = max(2, showing.MOST_PRODUCTS // max(1, _lists_in(dialogue)))

    def answer(self, wish: Wish, position: int) -> None:
        queries = resolve(self._dialogue, wish, position)
        if queries:
            for query in queries:
                self._found(wish, position, query)
        elif wish.ordinal is not None:
            self._reply.ask("no_such_number" if self._dialogue.listed else "which_product")
        elif needs_topic(wish):
            self._reply.ask("order_what" if wish.intent is Intent.ORDER else "which_product")
        else:
            self._overview(wish)

    def _found(self, wish: Wish, position: int, query: str) -> None:
        query, result = best_found(self._dialogue, wish, query)
        products = products_of(result)
        if result is None or result.failed:
            self._reply.say("tool_failed")
        elif not products:
            self._nothing_found(wish, position, query, result)
        elif not _is_sorted(wish) and (one := the_one(result, query)):
            self._one(wish, one, products)
        else:
            self._several(wish, query, products, result)

    def _overview(self, wish: Wish) -> None:
        result = search_result(self._dialogue, "")
        products = products_of(result)
        if not products:
            self._reply.say("tool_failed")
            return
        head = {Intent.RECOMMEND: "recommend", Intent.ORDER: "order_list"}.get(wish.intent)
        self._list(self._narrowed(wish, products, head or "list_no_topic"), result)
        groups = showing.categories(products, result.data) if result else []
        if wish.intent is Intent.BROWSE and len(groups) > 1:
            self._reply.ask("categories", categories=", ".join(groups))

    def _several(self, wish: Wish, query: str, products: Sequence[Product], result: Result) -> None:
        if wish.intent is Intent.ORDER:
            head = self._words["order_list"]
        elif result.is_near:
            head = self._words["list_near"]
        elif wish.intent is Intent.RECOMMEND:
            head = self._words["recommend"]
        else:
            head = self._titled("list", query) if _is_named(query, products) else "list_found"
        self._list(self._narrowed(wish, products, head), result)
        if wish.intent is Intent.ORDER:
            self._reply.ask("order_which")

    def _narrowed(
        self, wish: Wish, products: Sequence[Product], head: str
    ) -> tuple[str, list[Product]]:
        """Within the budget, cheapest first: with the sentence that says so."""
        head, chosen = self._words.get(head, head), list(products)
        if wish.intent is Intent.RECOMMEND:
            chosen = [each for each in chosen if showing.is_available(each)][:5] or chosen
        if _is_sorted(wish):
            chosen.sort(key=showing.lowest_price)
            head = self._words["cheapest"]
        if wish.budget is not None:
            fitting = [each for each in chosen if showing.lowest_price(each) <= wish.budget]
            head = self._words["within_budget" if fitting else "nothing_within_budget"]
            chosen = fitting or chosen[:3]
        return head, chosen

    def _list(self, chosen: tuple[str, Sequence[Product]], result: Result | None) -> None:
        head, products = chosen
        shown = products[: self._longest_list]
        self._reply.parts.append(f"{head}\n\n{self._numbered(shown)}")
        total = result.data.get("total") if result else None
        if isinstance(total, int) and total > len(shown) == self._longest_list:
            self._reply.say("more")
        self._reply.ask("which_one")

    def _numbered(self, products: Sequence[Product]) -> str:
        """Numbers go on over all lists of an answer, so that each names one product."""
        text = showing.numbered(products, self._words, first=self._listed + 1)
        self._listed += len(products)
        return text

    def _one(self, wish: Wish, product: Product, products: Sequence[Product]) -> None:
        if wish.intent is Intent.STOCK:
            self._stock_of(product, products)
        elif wish.intent is Intent.ORDER:
            self._order(product, products)
        else:
            self._describe(wish, self._detailed(product), products)

    def _describe(self, wish: Wish, product: Product, products: Sequence[Product]) -> None:
        is_priced = wish.intent is Intent.PRICE
        wants_text = not is_priced and not self._dialogue.mending
        shown = showing.block(product, self._words, description=wants_text)
        is_known = wish.intent is Intent.DETAILS or wish.ordinal is not None
        key = "price" if is_priced else "details" if is_known else "one"
        if showing.is_available(product):
            self._reply.say(key, product=shown)
            self._reply.ask("anything_else")
        else:
            self._reply.say(f"{key}_sold_out", product=shown)
            self._instead(product, products)

    def _detailed(self, product: Product) -> Product:
        result = self._dialogue.result(DETAILS, {"product": product.get("code")})
        told = result.data.get("product") if result and not result.failed else None
        return told if isinstance(told, dict) else product

    def _stock_of(self, product: Product, products: Sequence[Product]) -> None:
        result = self._dialogue.result(STOCK, {"product": product.get("code")})
        data = result.data if result and not result.failed else product
        self._reply.parts.append(showing.stock(data, self._words))
        if showing.is_available(data):
            self._reply.ask("anything_else")
        else:
            self._instead(product, products)

    def _order(self, product: Product, products: Sequence[Product]) -> None:
        result = self._dialogue.result(STOCK, {"product": product.get("code")})
        data = result.data if result and not result.failed else product
        if not showing.is_available(data):
            self._reply.say("order_sold_out", product=f"**{product.get('name', '')}**")
            self._instead(product, products)
            return
        self._reply.say("order", product=showing.block(product, self._words, description=False))
        if result and not result.failed:
            self._reply.parts[-1] += f"\n{showing.stock(data, self._words)}"
        self._reply.ask("order_staff")

    def _instead(self, product: Product, products: Sequence[Product]) -> None:
        others = [
            each
            for each in products
            if each.get("code") != product.get("code") and showing.is_available(each)
        ]
        if others:
            self._reply.parts.append(f"{self._words['instead']}\n\n{self._numbered(others[:3])}")
        self._reply.ask("anything_else")

    def _nothing_found(self, wish: Wish, position: int, query: str, empty: Result) -> None:
        topic = topic_of(self._dialogue, wish, position) if wish.modifiers else ""
        wider = search_result(self._dialogue, topic) if topic else None
        if products := products_of(wider):
            fitting = [each for each in products if _has_any(each, wish.modifiers)]
            head = self._titled("list", query)
            if not fitting:
                modifier = " ".join(wish.modifiers)
                head = self._words["not_found_narrow"].format(modifier=modifier, topic=topic)
            self._list((head, fitting or products), None)
            return
        self._reply.parts.append(self._titled("not_found", query))
        overview = search_result(self._dialogue, "") or empty
        groups = showing.categories(products_of(overview), overview.data)
        if groups:
            self._reply.ask("categories", categories=", ".join(groups))
        else:
            self._reply.ask("ask_category")

    def _titled(self, key: str, query: str) -> str:
        """Name what was asked for, unless it is more than a few plain words."""
        if query and len(query) <= 40 and re.fullmatch(r"[^\W\d_]+(?: [^\W\d_]+)*", query):
            return self._words[key].format(topic=query)
        return self._words[f"{key}_no_topic"]


def _lists_in(dialogue: Dialogue) -> int:
    """How many lists an answer may hold: eight products are enough for all of them."""
    return sum(
        max(1, len(resolve(dialogue, wish, position)))
        for position, understood in enumerate(dialogue.heard)
        for wish in understood.wishes
        if understood.product is wish
    )


def _is_sorted(wish: Wish) -> bool:
    return wish.cheapest or wish.budget is not None


def _is_named(query: str, products: Sequence[Product]) -> bool:
    """Whether the shop itself uses these words: typing errors are not repeated to the customer."""
    told = " ".join(f"{each.get('name', '')} {each.get('category', '')}" for each in products)
    return query.lower() in told.lower()


def _has_any(product: Product, modifiers: Sequence[str]) -> bool:
    told = " ".join(
        str(text)
        for text in (
            product.get("name", ""),
            product.get("description", ""),
            *(each.get("name", "") for each in showing.variants_of(product)),
        )
    ).lower()
    words = frozenset(re.findall(r"[^\W\d_]+", told))
    return all(words & set(MODIFIERS.get(each, (each,))) for each in modifiers)
