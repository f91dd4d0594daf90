"""Bytes from outside made into values that cannot hurt: JSON, text, numbers, moments.

WAHA forwards what strangers sent, in the shape its engine happens to have. Nothing here raises but
`Unreadable`: what is missing or of the wrong type reads as ``None``.
"""

import json
import math
import re
from datetime import UTC, datetime
from typing import Any

import orjson

from shared.kernel.errors import Invalid

LONGEST_TEXT = 65_536
"""WhatsApp's own limit for a message, in characters."""
LONGEST_NAME = 1_024


class Unreadable(Invalid):
    """The body is not an event of WAHA."""

    code = "unreadable"


def read_json(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``.

    Raises:
        Unreadable: not JSON (NaN is not), nested beyond reason, or not an object.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = _read_leniently(body)
    if not isinstance(value, dict):
        raise Unreadable("the body is not an object")
    return value


def _read_leniently(body: bytes) -> Any:
    """Phones send half surrogate pairs and engines huge numbers; orjson takes neither."""
    try:
        return json.loads(body.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Unreadable("the body is not JSON") from error


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")


def clean(value: str, limit: int = LONGEST_TEXT) -> str:
    """The text as PostgreSQL can keep it: no NUL, no half surrogate, at most ``limit`` long."""
    return _NOT_TEXT.sub("", value[: limit * 2])[:limit]


def text(value: Any, limit: int = LONGEST_TEXT) -> str | None:
    """The text with something to see in it, or ``None``."""
    if not isinstance(value, str):
        return None
    cleaned = clean(value, limit)
    return cleaned if cleaned.strip() else None


def name(value: Any) -> str | None:
    """A short line: file names, titles, ids."""
    found = text(value, LONGEST_NAME)
    return " ".join(found.split()) if found else None


def number(value: Any) -> float | None:
    """A finite number, also where it stands in a string; booleans are none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not re.fullmatch(
        r"\s*[+-]?[0-9]{1,20}(\.[0-9]{0,20})?\s*", value
    ):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


_MILLISECONDS = 100_000_000_000
"""Seconds reach this in the year 5138; milliseconds did in 1973."""
_EARLIEST = datetime(2009, 1, 1, tzinfo=UTC).timestamp()
_LATEST = datetime(2100, 1, 1, tzinfo=UTC).timestamp()


def moment(value: Any) -> datetime | None:
    """A time in seconds or milliseconds, whole or not, number or string; ``None`` if absurd."""
    found = number(value)
    if found is None:
        return None
    if abs(found) >= _MILLISECONDS:
        found /= 1000
    return datetime.fromtimestamp(found, UTC) if _EARLIEST <= found < _LATEST else None


def dig(value: Any, *path: str) -> Any:
    """What stands at ``path``; a step may name alternatives, as in ``"message|Message"``."""
    for step in path:
        if not isinstance(value, dict):
            return None
        value = next((value[key] for key in step.split("|") if value.get(key) is not None), None)
    return value


def as_dict(value: Any) -> dict[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}
