"""Text that people wrote, before it becomes part of a shop."""

import re
import unicodedata
from collections.abc import Iterable

from shared.kernel.errors import Invalid


class BadText(Invalid):
    """This text cannot be kept. ``data['field']`` names it."""

    code = "bad_text"


NAME_LENGTH = 200
PARAGRAPH_LENGTH = 4000

_SPACES = re.compile(r"[^\S\n]+")
_DIRECTION_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They make a text read differently from what it is; names of products and people need none."""


def line(value: str, *, field: str, longest: int = NAME_LENGTH) -> str:
    """One line with something in it: trimmed, inner spaces made single.

    Raises:
        BadText: empty, longer than ``longest`` characters, or with characters nobody can see.
    """
    kept = _checked(value, field, longest, breaks=False)
    if not kept:
        raise BadText(f"{field} must not be empty", field=field)
    return kept


def optional_line(value: str | None, *, field: str, longest: int = NAME_LENGTH) -> str:
    """The same, but may be empty."""
    return _checked(value or "", field, longest, breaks=False)


def paragraph(value: str | None, *, field: str, longest: int = PARAGRAPH_LENGTH) -> str:
    """Text that may have line breaks and may be empty. Raises `BadText`."""
    return _checked(value or "", field, longest, breaks=True)


def lines(values: Iterable[str], *, field: str, most: int, longest: int) -> tuple[str, ...]:
    """Several lines, none of them empty. Raises `BadText`."""
    kept = tuple(line(value, field=field, longest=longest) for value in values)
    if len(kept) > most:
        raise BadText(f"{field} holds at most {most} entries", field=field)
    return kept


def tidy_line(value: str | None, *, longest: int = NAME_LENGTH) -> str:
    """What `line` would keep of a text that must not be refused, such as a WhatsApp name."""
    seen = "".join(" " if _is_hidden(c, breaks=False) else c for c in value or "")
    return _SPACES.sub(" ", unicodedata.normalize("NFC", seen)).strip()[:longest].rstrip()


def _checked(value: str, field: str, longest: int, *, breaks: bool) -> str:
    unified = value.replace("\r\n", "\n") if breaks else value
    if any(_is_hidden(character, breaks=breaks) for character in unified):
        raise BadText(f"{field} has characters that nobody can see", field=field)
    kept = _SPACES.sub(" ", unicodedata.normalize("NFC", unified)).strip()
    if len(kept) > longest:
        raise BadText(f"{field} is longer than {longest} characters", field=field)
    return kept


def _is_hidden(character: str, *, breaks: bool) -> bool:
    if character == "\t" or (breaks and character == "\n"):
        return False
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or character in _DIRECTION_OVERRIDES
    )
