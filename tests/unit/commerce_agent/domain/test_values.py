"""Texts, phone numbers, currencies and languages at the edge of the domain."""

import pytest

from commerce_agent.domain.value_objects.currency import UnknownCurrency, currency, minor_digits
from commerce_agent.domain.value_objects.language import Language, UnknownLanguage
from commerce_agent.domain.value_objects.phone import BadPhone, parse_phone
from commerce_agent.domain.value_objects.text import (
    BadText,
    line,
    lines,
    optional_line,
    paragraph,
    tidy_line,
)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (" Kopi   Susu ", "Kopi Susu"),
        ("Kopi\tSusu", "Kopi Susu"),
        ("Cafe\u0301", "Café"),
        ("Kopi\u00a0Susu", "Kopi Susu"),
        ("👨‍👩‍👧 Kopi", "👨‍👩‍👧 Kopi"),
        ("كوبي\u200f", "كوبي\u200f"),
    ],
)
def test_a_line_is_tidied(given: str, kept: str) -> None:
    assert line(given, field="name") == kept


@pytest.mark.parametrize(
    "given",
    ["", "  ", "a\x00b", "a\nb", "a\rb", "a\x1bb", "a\u2028b", "\ud800", "a\u202eb", "\x7f"],
)
def test_a_line_that_cannot_be_read_is_refused(given: str) -> None:
    with pytest.raises(BadText) as refused:
        line(given, field="name")

    assert refused.value.data == {"field": "name"}


def test_a_line_has_its_length_and_no_more() -> None:
    assert line("x" * 200, field="name") == "x" * 200
    with pytest.raises(BadText):
        line("x" * 201, field="name")
    assert optional_line(None, field="name") == optional_line(" ", field="name") == ""


def test_a_paragraph_keeps_its_breaks() -> None:
    assert paragraph(" a  b\r\n\r\n c ", field="about") == "a b\n\n c"
    assert paragraph(None, field="about") == ""
    with pytest.raises(BadText):
        paragraph("a\rb", field="about")


def test_lines_are_counted_and_none_is_empty() -> None:
    assert lines([" a", "b "], field="links", most=2, longest=5) == ("a", "b")
    for refused in (["a", "b", "c"], ["a", ""], ["abcdef"]):
        with pytest.raises(BadText):
            lines(refused, field="links", most=2, longest=5)


def test_a_tidied_line_is_never_refused_and_never_too_long() -> None:
    assert tidy_line("a\x00\n\u202eb\ud800", longest=10) == "a b"
    assert tidy_line("x y z", longest=2) == "x"
    assert tidy_line(None) == ""


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("08123456789", "+628123456789"),
        ("0812-3456-789", "+628123456789"),
        ("+62 812 3456 789", "+628123456789"),
        ("628123456789", "+628123456789"),
        (" 8123456789 ", "+628123456789"),
        ("(021) 5550123", "+62215550123"),
        ("+1 415 555 2671", "+14155552671"),
        ("+65 9123 4567", "+6591234567"),
        ("٠٨١٢٣٤٥٦٧٨٩", "+628123456789"),
    ],
)
def test_a_number_is_read_as_people_write_it(written: str, number: str) -> None:
    assert parse_phone(written) == number


@pytest.mark.parametrize(
    "written",
    [
        "",
        "abc",
        "0812",
        "62",
        "+",
        "+999999999",
        "1" * 500,
        "08123456789'; --",
        "0812KOPISUSU",
        "\x00",
    ],
)
def test_what_is_no_number_is_refused(written: str) -> None:
    with pytest.raises(BadPhone):
        parse_phone(written)


def test_a_number_belongs_to_the_region_it_is_written_in() -> None:
    assert parse_phone("0171 2345678", region="DE") == "+491712345678"


def test_currencies_are_those_of_iso_4217() -> None:
    assert currency("idr") == "IDR"
    for code in ("", "ID", "IDRR", "ABC", "12", "€€€"):
        with pytest.raises(UnknownCurrency):
            currency(code)


@pytest.mark.parametrize(("code", "digits"), [("IDR", 0), ("USD", 2), ("JPY", 0), ("KWD", 3)])
def test_minor_units_are_those_that_providers_count(code: str, digits: int) -> None:
    assert minor_digits(code) == digits


def test_languages_are_two() -> None:
    assert Language.of(" EN ") is Language.ENGLISH
    for text in ("", "in", "english"):
        with pytest.raises(UnknownLanguage):
            Language.of(text)
