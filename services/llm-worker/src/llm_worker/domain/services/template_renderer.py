"""Filling in templates: names and values, and nothing that could be a program.

``{{ name }}`` is a value, ``{{ order.total }}`` a value inside one, and ``{{ note? }}`` one that
may be missing. A value is plain JSON; a template reaches into objects by their keys and into
nothing else, so no attribute, method or index of anything in this process can be named.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.kernel.errors import Invalid

LONGEST_RENDERED = 200_000
"""Characters that a rendered template may have."""

_PLACE = re.compile(r"\{\{\s*([A-Za-z_]\w*(?:\.\w+)*)(\?)?\s*\}\}", re.ASCII)
_OPENING = "{{"


class InvalidTemplate(Invalid, ValueError):
    """The template has a place that is no name."""

    code = "invalid_template"


class TemplateValuesMissing(Invalid):
    """Values of the template are missing. ``data['names']`` lists them."""

    code = "template_values_missing"


class TemplateValueInvalid(Invalid):
    """A value is no plain JSON. ``data['name']`` says which."""

    code = "template_value_invalid"


class RenderedTooLong(Invalid):
    """With these values the template is longer than 200000 characters."""

    code = "rendered_template_too_long"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value goes."""

    name: str
    optional: bool


def places(body: str) -> list[Place]:
    """The places of a template, in order. Raises `InvalidTemplate`."""
    return [part for part in _parts(body) if isinstance(part, Place)]


def render(body: str, variables: Mapping[str, Any]) -> str:
    """The template with its values in place; what a value says is never read as a template.

    Texts go in as they are, everything else as JSON. A value that is null is missing.

    Raises:
        InvalidTemplate: a place is no name.
        TemplateValuesMissing: all that are missing and not optional, by name.
        TemplateValueInvalid: a value is no plain JSON.
        RenderedTooLong: the result would be.
    """
    parts = list(_parts(body))
    texts: dict[str, str | None] = {}
    for part in parts:
        if isinstance(part, Place) and part.name not in texts:
            texts[part.name] = _text(part.name, _found(part.name, variables))
    missing = sorted(
        {
            part.name
            for part in parts
            if isinstance(part, Place) and not part.optional and texts[part.name] is None
        }
    )
    if missing:
        raise TemplateValuesMissing(f"missing: {', '.join(missing)}", names=missing)
    return _joined(texts[part.name] or "" if isinstance(part, Place) else part for part in parts)


def _parts(body: str) -> Iterator[str | Place]:
    position = 0
    while (opening := body.find(_OPENING, position)) >= 0:
        found = _PLACE.match(body, opening)
        if found is None:
            raise InvalidTemplate(
                f"what stands at character {opening + 1} is no name: write {{{{ name }}}},"
                " {{ name.key }} or {{ name? }}",
                position=opening,
            )
        yield body[position:opening]
        yield Place(found[1], optional=found[2] is not None)
        position = found.end()
    yield body[position:]


def _found(name: str, variables: Mapping[str, Any]) -> Any:
    value: Any = variables
    for key in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _text(name: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise TemplateValueInvalid(f"{name} is no plain JSON", name=name) from error


def _joined(texts: Iterator[str]) -> str:
    rendered: list[str] = []
    length = 0
    for text in texts:
        length += len(text)
        if length > LONGEST_RENDERED:
            raise RenderedTooLong
        rendered.append(text)
    return "".join(rendered)
