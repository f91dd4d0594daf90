"""The expressions that catalogue search is made of: what fits, and how closely.

Words come from `CatalogueWords` and hold letters and digits only; they are quoted all the same, so
that no text of a customer is ever read as an operator of ``to_tsquery``.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, func, literal_column, or_
from sqlalchemy.dialects.postgresql import TSQUERY

from commerce_agent.domain.services.catalogue_words import SHORTEST_PREFIX, Term
from commerce_agent.domain.services.search_synonyms import Phrase
from commerce_agent.infrastructure.persistence.tables import products, variants
from shared.kernel.ids import TenantId

Query = ColumnElement[Any]
"""An expression of type ``tsquery``."""

_SIMPLE: ColumnElement[Any] = literal_column("'simple'::regconfig")
_INDONESIAN: ColumnElement[Any] = literal_column("'indonesian'::regconfig")


def is_for_sale(tenant_id: TenantId) -> ColumnElement[bool]:
    """Active products of the tenant with at least one active variant."""
    return and_(products.c.tenant_id == tenant_id, products.c.active, _has_variant(tenant_id))


def has_stock(tenant_id: TenantId) -> ColumnElement[bool]:
    """At least one active variant can be sold now."""
    return _has_variant(tenant_id, variants.c.on_hand > variants.c.reserved)


def _has_variant(tenant_id: TenantId, *which: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(
        variants.c.tenant_id == tenant_id,
        variants.c.product_id == products.c.id,
        variants.c.active,
        *which,
    )


def fits_all(terms: Sequence[Term]) -> ColumnElement[bool]:
    """Every term occurs somewhere."""
    return and_(*map(_occurs, terms))


def fits_any(terms: Sequence[Term]) -> ColumnElement[bool]:
    """At least one term occurs somewhere."""
    return or_(*map(_occurs, terms))


def closeness(terms: Sequence[Term], tenant_id: TenantId) -> tuple[ColumnElement[Any], ...]:
    """What to sort by: the very name first, then how many terms occur and where: in the name, in
    name or category, in the description. At equal rank what is in stock, then the shorter name."""
    occurs = [case((_occurs(term), 1), else_=0) for term in terms]
    where = [
        case(
            (_matches(_in_name([term.said], prefix=False)), 3),
            (_matches(_in_name(term.phrases, prefix=True)), 2),
            (_matches(_in_name_or_category(term)), 1),
            else_=0,
        )
        for term in terms
    ]
    return (
        func.lower(products.c.name).in_(_whole_names(terms)).desc(),
        _sum(occurs).desc(),
        _sum(where).desc(),
        has_stock(tenant_id).desc(),
        func.length(products.c.name),
    )


def _occurs(term: Term) -> ColumnElement[bool]:
    somewhere = _matches(
        _or(
            _tsquery(_SIMPLE, term.phrases, _begins_with()),
            _tsquery(_INDONESIAN, term.phrases, _is),
        )
    )
    if not term.denied_by:
        return somewhere
    named = _matches(_in_name(term.phrases, prefix=True))
    return somewhere & (named | products.c.category.not_in(term.denied_by))


def _in_name(phrases: Sequence[Phrase], *, prefix: bool) -> Query:
    return _tsquery(_SIMPLE, phrases, _begins_with("A") if prefix else lambda word: _is(word, "A"))


def _in_name_or_category(term: Term) -> Query:
    return _or(
        _tsquery(_SIMPLE, term.phrases, _begins_with("AB")),
        _tsquery(_INDONESIAN, term.phrases, lambda word: _is(word, "AB")),
    )


def _tsquery(
    config: ColumnElement[Any], phrases: Sequence[Phrase], part: Callable[[str], str]
) -> Query:
    written = " | ".join("(" + " & ".join(map(part, phrase)) + ")" for phrase in phrases)
    return func.to_tsquery(config, written, type_=TSQUERY())


def _begins_with(weights: str = "") -> Callable[[str], str]:
    def part(word: str) -> str:
        return _is(word, weights if len(word) < SHORTEST_PREFIX else f"*{weights}")

    return part


def _is(word: str, flags: str = "") -> str:
    quoted = word.replace("\\", "\\\\").replace("'", "''")
    return f"'{quoted}':{flags}" if flags else f"'{quoted}'"


def _or(one: Query, other: Query) -> Query:
    return one.op("||", return_type=TSQUERY())(other)


def _matches(query: Query) -> ColumnElement[bool]:
    return products.c.search.bool_op("@@")(query)


def _sum(parts: Sequence[ColumnElement[int]]) -> ColumnElement[int]:
    return reduce(lambda a, b: a + b, parts)


def _whole_names(terms: Sequence[Term]) -> list[str]:
    said = " ".join(word for term in terms for word in term.said)
    if len(terms) > 1:
        return [said]
    return [" ".join(phrase) for phrase in terms[0].phrases]
