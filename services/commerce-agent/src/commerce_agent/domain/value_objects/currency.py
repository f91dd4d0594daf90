"""Which currencies there are, and how many digits their smallest unit has."""

from babel.numbers import get_currency_precision, is_currency

from shared.kernel.errors import Invalid


class UnknownCurrency(Invalid):
    """This is no ISO 4217 currency code."""

    code = "unknown_currency"


_NO_MINOR_UNIT = frozenset({"IDR"})
"""ISO gives the rupiah two decimals that nobody uses; payment providers count whole rupiah."""


def currency(code: str) -> str:
    """Read a currency code such as ``IDR``. Raises `UnknownCurrency`."""
    if len(code) != 3 or not code.isascii() or not is_currency(code.upper()):
        raise UnknownCurrency(f"{code[:10]!r} is no ISO 4217 currency code")
    return code.upper()


def minor_digits(code: str) -> int:
    """How many digits of an amount stand behind the decimal sign."""
    return 0 if code in _NO_MINOR_UNIT else int(get_currency_precision(code))
