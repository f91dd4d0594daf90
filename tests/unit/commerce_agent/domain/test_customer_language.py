"""Which language a customer is answered in."""

import pytest

from commerce_agent.domain.services.customer_language import choose_language, detect_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("halo, ada kopi apa?", "id"),
        ("brp harga americano", "id"),
        ("yg dingin ada ga", "id"),
        ("makasih kak", "id"),
        ("hello, what coffee do you have?", "en"),
        ("how much is the americano", "en"),
        ("thanks!", "en"),
        ("ok", None),
        ("2 americano", None),
        ("👍", None),
        ("", None),
    ],
)
def test_a_text_tells_its_language_or_nothing(text: str, language: str | None) -> None:
    assert detect_language(text) == language


def test_what_the_customer_has_set_wins() -> None:
    assert choose_language("en", ["halo, ada kopi apa?"], "id") == "en"


def test_the_latest_text_that_tells_decides() -> None:
    assert choose_language(None, ["ok", "how much is it?", "halo kak"], "id") == "en"


def test_without_a_sign_the_shop_decides() -> None:
    assert choose_language(None, ["ok", "2"], "en") == "en"
    assert choose_language("fr", [], "fr") == "id"
