"""The SQL of catalogue search: what fits, how closely, and the page of it that is shown.

Written as text and kept by shape (how many terms, which of them are denied somewhere): putting the
same expressions together for every search costs more than the search. Words come from
`CatalogueWords` and hold letters and digits only; they are quoted all the same, so that no text of
a customer is ever read as an operator of ``to_tsquery``.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import TextClause, text

from commerce_agent.domain.services.catalogue_words import SHORTEST_PREFIX, Term
from commerce_agent.domain.services.search_synonyms import Phrase

FOR_SALE: Final = """p.tenant_id = :tenant AND p.active AND EXISTS (
    SELECT FROM variants v WHERE v.tenant_id = :tenant AND v.product_id = p.id AND v.active)"""
"""Active products of the tenant with at least one active variant."""
_IN_STOCK = """EXISTS (
    SELECT FROM variants v WHERE v.tenant_id = :tenant AND v.product_id = p.id AND v.active
    AND v.on_hand > v.reserved)"""
_PAGE = """
    SELECT found.*, (
        SELECT jsonb_agg(to_jsonb(v) - 'tenant_id' ORDER BY v.position, v.id) FROM variants v
        WHERE v.tenant_id = :tenant AND v.product_id = found.id AND v.active) AS variants
    FROM (
        SELECT p.id, p.name, p.category, p.description, p.active, p.images, p.version,
               p.created_at, p.updated_at, count(*) OVER () AS total,
               row_number() OVER (ORDER BY {order}) AS place
        FROM products p WHERE {which} ORDER BY place LIMIT :limit
    ) AS found ORDER BY place
"""
_ORDER = """lower(p.name) = ANY(:whole_names) DESC, {occurs} DESC, {where} DESC, {in_stock} DESC,
    length(p.name), p.name, p.id"""
"""The very name first, then how many terms occur and where: in the name, in name or category, in
the description. At equal rank what is in stock, then the shorter name."""

Shape = tuple[bool, ...]
"""Of every term, whether there are categories that deny it."""


def matching(
    terms: Sequence[Term], *, all_of_them: bool, within_categories: bool
) -> tuple[TextClause, dict[str, Any]]:
    """The statement that finds products in which all terms occur, or any, and its own values.

    Besides it takes ``tenant``, ``limit`` and, ``within_categories``, ``categories``.
    """
    shape = tuple(bool(term.denied_by) for term in terms)
    values: dict[str, Any] = {"whole_names": _whole_names(terms)}
    for number, term in enumerate(terms):
        values |= _values(f"t{number}", term)
    return _matching(shape, all_of_them, within_categories), values


@lru_cache(maxsize=256)
def _matching(shape: Shape, all_of_them: bool, within_categories: bool) -> TextClause:
    names = [f"t{number}" for number in range(len(shape))]
    occurs = [_occurs(name, denied) for name, denied in zip(names, shape, strict=True)]
    counted = " + ".join(f"CASE WHEN {each} THEN 1 ELSE 0 END" for each in occurs)
    ranked = " + ".join(_rank(name) for name in names)
    fits = (" AND " if all_of_them else " OR ").join(occurs)
    order = _ORDER.format(occurs=counted, where=ranked, in_stock=_IN_STOCK)
    return text(_PAGE.format(order=order, which=f"{_within(within_categories)} AND ({fits})"))


@lru_cache(maxsize=2)
def browsing(within_categories: bool) -> TextClause:
    """Something of each category in turn, what is in stock first, in the shop's own order."""
    turns = f"""
        SELECT p.*, row_number() OVER (
            PARTITION BY p.category ORDER BY {_IN_STOCK} DESC, p.id) AS turn
        FROM products p WHERE {_within(within_categories)}
    """  # noqa: S608 - constants
    page = _PAGE.format(order="p.turn, p.category", which="true")
    return text(page.replace("FROM products p", f"FROM ({turns}) AS p"))


def _within(categories: bool) -> str:
    return f"{FOR_SALE} AND p.category = ANY(:categories)" if categories else FOR_SALE


def _occurs(name: str, denied: bool) -> str:
    somewhere = f"({_matches(_either(f'{name}_begins', f'{name}_is'))})"
    if not denied:
        return somewhere
    return f"({somewhere} AND ({_named(name)} OR p.category <> ALL(:{name}_denied)))"


def _rank(name: str) -> str:
    return f"""CASE WHEN {_matches(_query("simple", f"{name}_said"))} THEN 3
        WHEN {_named(name)} THEN 2
        WHEN {_matches(_either(f"{name}_shelf", f"{name}_shelf_is"))} THEN 1 ELSE 0 END"""


def _named(name: str) -> str:
    return _matches(_query("simple", f"{name}_named"))


def _matches(query: str) -> str:
    return f"p.search @@ {query}"


def _either(simple: str, indonesian: str) -> str:
    return f"({_query('simple', simple)} || {_query('indonesian', indonesian)})"


def _query(config: str, value: str) -> str:
    return f"to_tsquery('{config}'::regconfig, :{value})"


def _values(name: str, term: Term) -> dict[str, Any]:
    values = {
        f"{name}_begins": _written(term.phrases, _begins_with()),
        f"{name}_is": _written(term.phrases, _is),
        f"{name}_said": _written([term.said], lambda word: _is(word, "A")),
        f"{name}_named": _written(term.phrases, _begins_with("A")),
        f"{name}_shelf": _written(term.phrases, _begins_with("AB")),
        f"{name}_shelf_is": _written(term.phrases, lambda word: _is(word, "AB")),
    }
    return values | ({f"{name}_denied": list(term.denied_by)} if term.denied_by else {})


def _written(phrases: Sequence[Phrase], part: Callable[[str], str]) -> str:
    return " | ".join("(" + " & ".join(map(part, phrase)) + ")" for phrase in phrases)


def _begins_with(weights: str = "") -> Callable[[str], str]:
    def part(word: str) -> str:
        return _is(word, weights if len(word) < SHORTEST_PREFIX else f"*{weights}")

    return part


def _is(word: str, flags: str = "") -> str:
    quoted = word.replace("\\", "\\\\").replace("'", "''")
    return f"'{quoted}':{flags}" if flags else f"'{quoted}'"


def _whole_names(terms: Sequence[Term]) -> list[str]:
    said = " ".join(word for term in terms for word in term.said)
    if len(terms) > 1:
        return [said]
    return [" ".join(phrase) for phrase in terms[0].phrases]
