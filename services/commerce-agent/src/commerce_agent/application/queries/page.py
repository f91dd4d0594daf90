"""Lists come in pages; a cursor says where the next one begins and means nothing to its holder."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from shared.kernel.errors import Invalid

T = TypeVar("T")

LARGEST_PAGE = 200
_LONGEST_CURSOR = 500


class BadCursor(Invalid):
    """This cursor was not made by this list."""

    code = "bad_cursor"


class BadLimit(Invalid):
    """A page holds 1 to 200 entries."""

    code = "bad_limit"


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some entries of a list, and the cursor of the rest; ``None``: this was the end."""

    data: tuple[T, ...]
    next_cursor: str | None = None


def checked_limit(limit: int) -> int:
    """Raises `BadLimit` unless ``limit`` lies in 1 to 200."""
    if not 1 <= limit <= LARGEST_PAGE:
        raise BadLimit
    return limit


def page_of(rows: Sequence[T], limit: int, cursor_of: Callable[[T], str]) -> Page[T]:
    """Make a page of ``limit`` rows where one more was asked for, to know whether there is one."""
    kept = tuple(rows[:limit])
    return Page(kept, cursor_of(kept[-1]) if len(rows) > limit else None)


def encode_cursor(**position: object) -> str:
    """The position of a row, as its list sorts: ``encode_cursor(id=row.id)``."""
    body = orjson.dumps({name: str(value) for name, value in position.items()})
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def decode_cursor(cursor: str, **shape: Callable[[str], Any]) -> dict[str, Any]:
    """Read it back, each part by its own type: ``decode_cursor(cursor, id=UUID)``.

    Raises:
        BadCursor: it is damaged, made up, or another list's.
    """
    try:
        if len(cursor) > _LONGEST_CURSOR:
            raise ValueError("too long")
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        parts = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(parts, dict) or parts.keys() != shape.keys():
            raise ValueError("another list's")
        return {name: read(_text(parts[name])) for name, read in shape.items()}
    except (ValueError, OverflowError) as error:
        raise BadCursor from error


def _text(part: object) -> str:
    if not isinstance(part, str):
        raise ValueError("not text")
    return part
