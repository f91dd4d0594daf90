"""Values from outside, however they are written."""

from datetime import UTC, datetime

import pytest

from shared.waha.reading import Unreadable, clean, dig, moment, number, read_json, text

AT = datetime(2022, 11, 4, 11, 31, 25, tzinfo=UTC)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"\xff\xfe",
        b"[]",
        b'"halo"',
        b"null",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": "\xff"}',
        b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"a": ' + b"9" * 5_000 + b"}",
    ],
)
def test_what_is_no_json_object_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_json(body)


def test_half_surrogates_and_huge_numbers_are_read() -> None:
    assert read_json(b'{"a": "x\\ud83d"}') == {"a": "x\ud83d"}
    assert read_json(b'{"a": ' + b"9" * 400 + b"}")["a"] == int("9" * 400)


def test_of_two_equal_keys_the_last_counts() -> None:
    assert read_json(b'{"a": 1, "a": 2}') == {"a": 2}


def test_text_is_cleaned_of_what_a_database_cannot_keep() -> None:
    assert clean("a\x00b\ud83dc") == "abc"
    assert clean("👍🏽") == "👍🏽"
    assert clean("x" * 100, 10) == "x" * 10
    assert text("\x00 \n") is None
    assert text("  halo ") == "  halo "
    assert text(7) is None


@pytest.mark.parametrize(
    "value",
    [1667561485, 1667561485.0, 1667561485000, "1667561485", "1667561485000", " 1667561485.0 "],
)
def test_a_moment_comes_in_any_unit_and_type(value: object) -> None:
    assert moment(value) == AT


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "",
        "soon",
        "1_667_561_485",
        "١٦٦٧٥٦١٤٨٥",
        0,
        -1,
        1e300,
        10**400,
        "9" * 400,
        {},
        [],
    ],
)
def test_an_absurd_moment_is_none(value: object) -> None:
    assert moment(value) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [("-6.2", -6.2), (106.8, 106.8), ("nan", None), ("1e5", None), (float("inf"), None)],
)
def test_a_number_is_finite(value: object, expected: float | None) -> None:
    assert number(value) == expected


def test_digging_never_falls() -> None:
    assert dig({"a": {"B": 1}}, "a", "b|B") == 1
    assert dig({"a": [1]}, "a", "b") is None
    assert dig(None, "a") is None
