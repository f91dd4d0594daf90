"""Pages of things that are read as a whole."""

import pytest

from commerce_agent.application.queries.page import BadCursor, BadLimit
from gateway.application.services.named_pages import newest_first, page_by


def pages(things: list[str], limit: int) -> list[tuple[str, ...]]:
    found, cursor = [], None
    while True:
        page = page_by(things, lambda thing: thing, limit=limit, cursor=cursor)
        found.append(page.data)
        cursor = page.next_cursor
        if cursor is None:
            return found


@pytest.mark.parametrize(
    ("limit", "found"),
    [(1, [("a",), ("b",), ("c",)]), (2, [("a", "b"), ("c",)]), (3, [("a", "b", "c")])],
)
def test_every_thing_is_on_one_page_in_order(limit: int, found: list[tuple[str, ...]]) -> None:
    assert pages(["c", "a", "b"], limit) == found
    assert pages([], limit) == [()]


def test_a_page_begins_after_the_last_one_though_that_is_gone() -> None:
    first = page_by(["a", "b", "c"], lambda thing: thing, limit=2, cursor=None)
    rest = page_by(["a", "c", "d"], lambda thing: thing, limit=2, cursor=first.next_cursor)
    assert rest.data == ("c", "d")


def test_versions_begin_with_the_newest() -> None:
    page = page_by([1, 9, 10, 2], newest_first, limit=200, cursor=None)
    assert page.data == (10, 9, 2, 1)


def test_there_is_no_such_page() -> None:
    with pytest.raises(BadLimit):
        page_by(["a"], str, limit=0, cursor=None)
    with pytest.raises(BadCursor):
        page_by(["a"], str, limit=1, cursor="x")
