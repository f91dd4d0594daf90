"""Pages and their cursors."""

import base64
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_agent.application.queries.page import (
    BadCursor,
    BadLimit,
    checked_limit,
    decode_cursor,
    encode_cursor,
    page_of,
)

ID = UUID("019a5c6e-0000-7000-8000-000000000001")
AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def test_a_cursor_comes_back_as_it_was_made() -> None:
    cursor = encode_cursor(at=AT.isoformat(), id=ID)

    assert decode_cursor(cursor, at=datetime.fromisoformat, id=UUID) == {"at": AT, "id": ID}
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def coded(body: bytes) -> str:
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        "a b",
        "=" * 4,
        coded(b""),
        coded(b"null"),
        coded(b"[]"),
        coded(b"{}"),
        coded(b'{"id":null}'),
        coded(b'{"id":5}'),
        coded(b'{"id":"x"}'),
        coded(b'{"id":["x"]}'),
        coded(b'{"at":"2026-03-01"}'),
        coded(b'{"id":"' + str(ID).encode() + b'","more":"x"}'),
        coded(b"\xff\xfe"),
        coded(b"[" * 300),
        "A" * 501,
    ],
)
def test_a_cursor_that_this_list_did_not_make_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursor):
        decode_cursor(cursor, id=UUID)


@given(st.text(max_size=600))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        decode_cursor(text, id=UUID)
    except BadCursor:
        return
    assert UUID(decode_cursor(text, id=UUID)["id"].hex)


@pytest.mark.parametrize("limit", [1, 200])
def test_a_page_has_1_to_200_entries(limit: int) -> None:
    assert checked_limit(limit) == limit


@pytest.mark.parametrize("limit", [0, -5, 201])
def test_a_page_of_another_size_is_refused(limit: int) -> None:
    with pytest.raises(BadLimit):
        checked_limit(limit)


def test_a_page_names_the_next_only_if_there_is_one() -> None:
    more = page_of([1, 2, 3], 2, lambda row: f"after {row}")
    last = page_of([1, 2], 2, lambda row: f"after {row}")

    assert (more.data, more.next_cursor) == ((1, 2), "after 2")
    assert (last.data, last.next_cursor) == ((1, 2), None)
    assert page_of([], 2, str).data == ()
