"""Pages of what is read as a whole: a tenant's models, templates and agents are few."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from commerce_agent.application.queries.page import (
    Page,
    checked_limit,
    decode_cursor,
    encode_cursor,
    page_of,
)

T = TypeVar("T")


def page_by(
    things: Iterable[T], place: Callable[[T], str], *, limit: int, cursor: str | None
) -> Page[T]:
    """A page in the order of their places, each of which is another. Raises `BadLimit`,
    `BadCursor`."""
    limit = checked_limit(limit)
    after = "" if cursor is None else decode_cursor(cursor, after=str)["after"]
    rest = sorted((thing for thing in things if place(thing) > after), key=place)
    return page_of(rest[: limit + 1], limit, lambda last: encode_cursor(after=place(last)))


def newest_first(version: int) -> str:
    """The place of a version in a list that begins with the newest."""
    return f"{2**31 - version:010d}"
