"""JSON objects that come along with a job: small, flat enough, and nothing but data."""

import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from shared.kernel.errors import Invalid

_DEEPEST = 20
_LARGEST_NUMBER = 2**63
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class InvalidData(Invalid):
    """This is no JSON object that can be kept. ``data['field']`` names it."""

    code = "invalid_job_data"


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can keep it: no NUL, and no half of a surrogate pair."""
    return _UNSTORABLE.search(text) is None


def checked_object(value: Mapping[str, Any], *, field: str, longest: int) -> dict[str, Any]:
    """A copy of the object, if its texts and names have ``longest`` characters altogether; every
    other value, and every object and list, counts as one.

    Raises:
        InvalidData: too large, nested more than 20 deep, or with something that is not JSON.
    """
    size = 0
    for part in _parts(value, field, 0):
        size += part
        if size > longest:
            raise InvalidData(f"{field} is too large", field=field)
    copy: dict[str, Any] = _copy(value)
    return copy


def _parts(value: Any, field: str, depth: int) -> Iterator[int]:
    if depth > _DEEPEST:
        raise InvalidData(f"{field} is nested too deeply", field=field)
    if isinstance(value, Mapping):
        yield 1
        for name, inner in value.items():
            yield _length(name, field)
            yield from _parts(inner, field, depth + 1)
    elif isinstance(value, list | tuple):
        yield 1
        for inner in value:
            yield from _parts(inner, field, depth + 1)
    elif isinstance(value, str):
        yield _length(value, field)
    elif value is None or isinstance(value, bool) or _is_number(value):
        yield 1
    else:
        raise InvalidData(f"{field} holds something that is not JSON", field=field)


def _length(text: Any, field: str) -> int:
    if not isinstance(text, str) or not is_storable(text):
        raise InvalidData(f"{field} has a text that cannot be kept", field=field)
    return max(1, len(text))


def _is_number(value: Any) -> bool:
    if isinstance(value, int):
        return -_LARGEST_NUMBER <= value < _LARGEST_NUMBER
    return isinstance(value, float) and isfinite(value)


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copy(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(inner) for inner in value]
    return value
