"""The names by which configurations and templates are called."""

from shared.kernel.errors import Invalid

_LONGEST = 100


class InvalidName(Invalid, ValueError):
    """A name has 1 to 100 printable characters without spaces around it."""

    code = "invalid_name"


def checked_name(name: str) -> str:
    """The name itself. Raises `InvalidName`."""
    if not 1 <= len(name) <= _LONGEST or name != name.strip() or not name.isprintable():
        raise InvalidName
    return name
