"""Amounts as people read them."""

import pytest

from commerce_agent.domain.services.money_text import format_money
from commerce_agent.domain.value_objects.language import Language, UnknownLanguage
from shared.kernel.money import Money


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "Rp0"),
        (500, "Rp500"),
        (25_000, "Rp25.000"),
        (1_250_000, "Rp1.250.000"),
        (1_000_000_000_000, "Rp1.000.000.000.000"),
        (-25_000, "-Rp25.000"),
    ],
)
@pytest.mark.parametrize("language", ["id", "en"])
def test_rupiah_look_the_same_in_every_language(amount: int, text: str, language: str) -> None:
    assert format_money(Money(amount, "IDR"), language) == text


@pytest.mark.parametrize(
    ("money", "language", "text"),
    [
        (Money(1250, "USD"), "en", "$12.50"),
        (Money(1250, "USD"), "id", "US$12,50"),
        (Money(123_456_789, "USD"), "en", "$1,234,567.89"),
        (Money(5, "USD"), "en", "$0.05"),
        (Money(1200, "JPY"), "en", "¥1,200"),
        (Money(1234, "KWD"), "id", "KWD 1,234"),
        (Money(990, "SGD"), Language.ENGLISH, "SGD 9.90"),
    ],
)
def test_other_currencies_are_written_in_the_readers_language(
    money: Money, language: str, text: str
) -> None:
    assert format_money(money, language) == text


def test_a_language_that_nobody_speaks_is_refused() -> None:
    with pytest.raises(UnknownLanguage):
        format_money(Money(1, "USD"), "fr")
