"""Amounts as people read them."""

from decimal import Decimal
from functools import lru_cache

from babel.numbers import format_currency, get_currency_symbol

from commerce_agent.domain.value_objects.currency import minor_digits
from commerce_agent.domain.value_objects.language import Language
from shared.kernel.money import Money

_LOCALES = {Language.INDONESIAN: "id_ID", Language.ENGLISH: "en_US"}


@lru_cache(maxsize=8192)
def format_money(money: Money, language: str) -> str:
    """Write an amount for a customer: ``Rp25.000``, ``US$12,50``, ``SGD 9.90``.

    Rupiah look the same in every language, as on receipts, price tags and payment pages in
    Indonesia: ``Rp25,000`` would read as twenty-five rupiah to the seller's own staff.
    """
    digits = minor_digits(money.currency)
    locale = "id_ID" if money.currency == "IDR" else _LOCALES[Language.of(language)]
    sign = "¤ " if get_currency_symbol(money.currency, locale) == money.currency else "¤"
    pattern = f"{sign}#,##0" + ("." + "0" * digits if digits else "")
    amount = Decimal(money.amount).scaleb(-digits)
    text: str = format_currency(
        amount, money.currency, pattern, locale=locale, currency_digits=False
    )
    return text
