"""What is asked for in the words of a chat."""

import pytest

from commerce_agent.domain.services.catalogue_words import CatalogueWords, Term, sound_of
from commerce_agent.domain.services.search_synonyms import with_tenant_words
from commerce_agent.domain.services.search_words import (
    MOST_WORDS,
    SMALL_TALK,
    asked_for,
    spellings_of,
    words_of,
)

NAMES = ["Kopi Susu", "Caffè Latte", "Croissant Mentega", "Red Velvet", "Cheesecake", "V60", "Roti"]
CATEGORIES = ["Kopi Panas", "Non-Kopi", "Roti & Kue"]


def words(
    *, synonyms: dict[str, list[str]] | None = None, variant_names: tuple[str, ...] = ("Large",)
) -> CatalogueWords:
    return CatalogueWords(
        names=NAMES,
        categories=CATEGORIES,
        variant_names=variant_names,
        synonyms=with_tenant_words((synonyms or {}).items()),
    )


def said(terms: tuple[Term, ...]) -> list[str]:
    return [" ".join(term.said) for term in terms]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Kopi Susu!", ["kopi", "susu"]),
        ("Caffè-Latte_1", ["caffe", "latte", "1"]),
        ("ＫＯＰＩ ２", ["kopi", "2"]),
        ("'kopi' & |!:*", ["kopi"]),
        ("kopi\x00susu", ["kopi", "susu"]),
        ("☕", []),
        ("", []),
    ],
)
def test_words_are_compared_without_case_accents_and_signs(text: str, expected: list[str]) -> None:
    assert words_of(text) == expected


def test_spellings_keep_what_the_shop_wrote() -> None:
    assert spellings_of("Caffè Latte") == [("caffè", "caffe"), ("latte", "latte")]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("ada kopi apa?", ["kopi"]),
        ("halo kak, mau pesan kopi susu 2 dong, brp harganya?", ["kopi", "susu"]),
        ("do you have any iced coffee", ["iced", "coffee"]),
        ("kopi 25rb 25k 2jt 100ribu", ["kopi"]),
        ("v60 60", ["v60"]),
        ("kue2 sama roti2", ["kue", "roti"]),
        ("kopi kopi KOPI", ["kopi"]),
        ("ada apa aja?", []),
        ("how much", []),
    ],
)
def test_small_talk_prices_and_counts_are_left_out(query: str, wanted: list[str]) -> None:
    assert asked_for(query) == wanted


def test_what_the_catalogue_calls_so_is_meant_after_all() -> None:
    known = frozenset({"menu", "60", "kue2"})

    assert asked_for("ada menu?", known) == ["menu"]
    assert asked_for("menu kopi", known) == ["kopi"]
    assert asked_for("kopi 60", known) == ["kopi", "60"]
    assert asked_for("kue2", known) == ["kue2"]


def test_a_story_is_cut() -> None:
    assert len(asked_for(" ".join(f"kata{letter}" for letter in "abcdefghijklmnop"))) == MOST_WORDS


def test_small_talk_names_nothing_that_shops_sell() -> None:
    sold = {"kopi", "teh", "roti", "susu", "kue", "es", "gula", "biji", "nasi", "coffee", "tea"}

    assert SMALL_TALK.isdisjoint(sold)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("capucino", "cappuccino"),
        ("kapucino", "cappuccino"),
        ("amerikano", "americano"),
        ("late", "latte"),
        ("machiato", "macchiato"),
        ("vanila", "vanilla"),
        ("piza", "pizza"),
    ],
)
def test_spellings_of_one_word_sound_alike(one: str, other: str) -> None:
    assert sound_of(one) == sound_of(other)


@pytest.mark.parametrize(
    ("query", "guessed"),
    [
        ("kroisan", ("croissant",)),
        ("krosan", ("croissant",)),
        ("redvelvet", ("red", "velvet")),
        ("chese cake", ("cheesecake",)),
    ],
)
def test_an_unknown_word_is_guessed(query: str, guessed: tuple[str, ...]) -> None:
    (term,) = words().terms(query)

    assert guessed in term.guesses
    assert term.as_said().guesses == ()


@pytest.mark.parametrize("query", ["kopi", "crois", "latte", "bakso", "teh", "rot", "1234"])
def test_a_known_word_its_beginning_and_a_stranger_are_not_guessed(query: str) -> None:
    assert all(term.guesses == () for term in words().terms(query))


def test_a_phrase_is_read_before_its_words() -> None:
    terms = words(synonyms={"si manis": ["red velvet"]}).terms("ada si manis large kak")

    assert said(terms) == ["si manis"]
    assert terms[0].means == (("red", "velvet"),)


def test_the_tenants_own_meanings_come_before_the_general_ones() -> None:
    (term,) = words(synonyms={"coffee": ["Kopi Susu"]}).terms("coffee")

    assert term.means == (("kopi", "susu"), ("kopi",))


def test_synonyms_that_say_nothing_are_passed_over() -> None:
    synonyms = with_tenant_words(
        [("", ["kopi"]), ("☕", ["kopi"]), ("kopi", ["kopi", ""]), ("a b c d", ["kopi"])]
    )

    assert synonyms == with_tenant_words([])


def test_the_shops_own_accents_are_looked_for() -> None:
    (term,) = words().terms("caffe")

    assert term.means == (("caffè",),)


def test_words_of_sizes_only_refine() -> None:
    assert said(words().terms("kopi large")) == ["kopi"]
    assert words().terms("large") == ()


def test_a_size_that_is_also_a_name_is_looked_for() -> None:
    assert said(words(variant_names=("Roti",)).terms("roti")) == ["roti"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("kopi panas", ("Kopi Panas",)),
        ("Kopi", ("Kopi Panas",)),
        ("coffee", ("Kopi Panas",)),
        ("hot", ("Kopi Panas",)),
        ("non kopi", ("Non-Kopi",)),
        ("bukan kopi", ("Non-Kopi",)),
        ("roti", ("Roti & Kue",)),
        ("cake", ("Roti & Kue",)),
        ("sepatu", ()),
        ("", ()),
        ("menu", ()),
    ],
)
def test_a_category_is_known_by_many_names(text: str, meant: tuple[str, ...]) -> None:
    assert words().categories_meant(text) == meant


def test_a_category_that_denies_a_word_does_not_offer_it() -> None:
    assert [term.denied_by for term in words().terms("kopi susu")] == [("Non-Kopi",), ()]
    assert {term.denied_by for term in words().terms("non kopi")} == {()}
