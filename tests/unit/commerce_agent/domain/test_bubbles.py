"""Cutting long answers: nothing is lost, nothing that belongs together is torn."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce_agent.domain.services.bubbles import HARD_CAP, MOST_BUBBLES, split_bubbles
from commerce_agent.domain.services.graphemes import is_boundary


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def test_a_short_answer_is_one_bubble() -> None:
    assert split_bubbles("Halo Kak! 👋\n\nAda yang bisa dibantu?") == [
        "Halo Kak! 👋\n\nAda yang bisa dibantu?"
    ]


@pytest.mark.parametrize("text", ["", "   ", "\n\n \t\n"])
def test_blank_text_makes_no_bubble(text: str) -> None:
    assert split_bubbles(text) == []


def test_paragraphs_are_cut_before_sentences() -> None:
    first = "Satu kalimat panjang. " * 20
    second = "Kalimat kedua juga panjang. " * 20
    assert split_bubbles(f"{first.strip()}\n\n{second.strip()}") == [
        first.strip(),
        second.strip(),
    ]


def test_sentences_are_cut_at_their_end() -> None:
    text = "Kopi ini enak sekali. " * 60
    bubbles = split_bubbles(text)
    assert len(bubbles) == 3
    assert all(bubble.endswith("enak sekali.") for bubble in bubbles)


def test_a_trailing_emoji_stays_with_its_sentence() -> None:
    text = "Siap Kak! 😊 " * 100
    assert all(bubble.endswith("Siap Kak! 😊") for bubble in split_bubbles(text))


@pytest.mark.parametrize(
    "torn",
    [
        "Jl. Braga",
        "No. 12",
        "Rp. 50.000",
        "dr. Sari",
        "Tn. Budi",
        "Ny. Ani",
        "Bpk. Joko",
        "a.n. Toko",
        "dll. Terima",
        "dsb. Terima",
        "1. Kopi",
        "A. Yani",
    ],
)
def test_an_abbreviation_is_not_the_end_of_a_sentence(torn: str) -> None:
    text = " ".join(f"kata{number} {torn}" for number in range(120))
    for bubble in split_bubbles(text):
        head, tail = torn.split(" ")
        assert not bubble.endswith(head), bubble[-30:]
        assert not bubble.startswith(tail), bubble[:30]


@pytest.mark.parametrize("whole", ["08.00", "Rp25.000", "1.5", "3.14"])
def test_numbers_and_times_stay_whole(whole: str) -> None:
    text = " ".join([whole] * 800)
    assert all(set(bubble.split()) == {whole} for bubble in split_bubbles(text))


def test_a_space_after_rp_or_jl_is_the_last_place_to_cut() -> None:
    text = " ".join(["Rp 50000"] * 1000)
    for bubble in split_bubbles(text):
        assert not bubble.endswith("Rp")
        assert bubble.startswith("Rp")


def test_a_link_is_never_cut() -> None:
    link = "https://kopi.example/menu?a=1.&b=Enak!.html#x. " + "www.kopi.example/a.b!c"
    text = " ".join([f"Lihat {link} ya."] * 40)
    for bubble in split_bubbles(text):
        assert bubble.count("https://") == bubble.count("#x.")


def test_inline_formatting_is_never_cut() -> None:
    text = " ".join(["Ini *tebal. Sekali* dan _miring. Juga_ ya."] * 40)
    for bubble in split_bubbles(text):
        assert bubble.count("*") % 2 == 0
        assert bubble.count("_") % 2 == 0


def test_newlines_stay_where_they_are_inside_a_bubble() -> None:
    text = "Menu:\n- Kopi\n- Teh\n\nMau yang mana?"
    assert split_bubbles(text) == [text]


def test_a_list_a_little_over_the_limit_stays_together() -> None:
    menu = "\n".join(f"- Kopi nomor {number} yang enak, Rp25.000" for number in range(18))
    text = f"Ini menunya, Kak:\n{menu}\n\n" + "Mau pesan yang mana, Kak? " * 10
    first, second = split_bubbles(text)
    assert first.endswith("nomor 17 yang enak, Rp25.000")
    assert second.startswith("Mau pesan")


def test_a_long_list_is_cut_between_items() -> None:
    text = "\n".join(f"{n}. Kopi enak. Sangat enak. Harganya Rp25.000" for n in range(1, 61))
    bubbles = split_bubbles(text)
    assert len(bubbles) == MOST_BUBBLES
    assert all(re.match(r"\d+\. Kopi", bubble) for bubble in bubbles)


def test_there_are_at_most_five_bubbles_while_the_cap_allows_it() -> None:
    text = "Kopi ini enak sekali, Kak. " * 200
    bubbles = split_bubbles(text)
    assert len(bubbles) == MOST_BUBBLES
    assert max(map(len, bubbles)) <= HARD_CAP


def test_text_without_any_place_to_cut_is_cut_at_the_cap() -> None:
    bubbles = split_bubbles("a" * 10_000)
    assert [len(bubble) for bubble in bubbles] == [HARD_CAP, HARD_CAP, 10_000 - 2 * HARD_CAP]


@pytest.mark.parametrize(
    "character",
    [
        "👨‍👩‍👧‍👦",
        "🇮🇩",
        "👍🏽",
        "é",
        "1️⃣",
        "क्षि",
        "한",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    ],
)
def test_what_a_reader_sees_as_one_character_is_never_broken(character: str) -> None:
    for bubble in split_bubbles(character * 3000):
        assert bubble == character * (len(bubble) // len(character))


def test_a_flag_is_two_letters_and_four_letters_are_two_flags() -> None:
    flags = "🇮🇩🇮🇩"
    assert [is_boundary(flags, position) for position in range(1, 4)] == [False, True, False]


_CHAT = st.text(
    alphabet=st.one_of(
        st.sampled_from(list("ab .!?\n,:*_~`-1230👍🏽👨‍👩‍👧é\u0301\u200d🇮🇩")), st.characters()
    ),
    max_size=400,
)
_PIECES = st.lists(
    st.sampled_from(
        [
            "Jl. Braga No. 12. ",
            "https://kopi.example/a.b ",
            "- item satu. dua\n",
            "\n\n",
            "*tebal. ya* ",
            "```\nkode.\n\nkode\n```\n",
            "Halo Kak! 😊 ",
            "x" * 700,
            "1. ",
            "👨‍👩‍👧" * 50,
        ]
    ),
    max_size=40,
).map("".join)


@given(text=st.one_of(_CHAT, _PIECES), limit=st.integers(min_value=1, max_value=900))
@settings(max_examples=300, deadline=None)
def test_nothing_is_lost_and_no_bubble_is_empty_or_over_the_cap(text: str, limit: int) -> None:
    bubbles = split_bubbles(text, limit=limit)
    assert _squeezed("".join(bubbles)) == _squeezed(text)
    assert all(bubble.strip() and len(bubble) <= HARD_CAP for bubble in bubbles)


@given(text=_CHAT, times=st.integers(min_value=10, max_value=60))
@settings(max_examples=100, deadline=None)
def test_every_cut_falls_between_visible_characters(text: str, times: int) -> None:
    whole = text * times
    position = 0
    for bubble in split_bubbles(whole)[:-1]:
        position = whole.index(bubble, position) + len(bubble)
        following = whole[position:].lstrip()
        start = len(whole) - len(following)
        assert start > position or is_boundary(whole, position)


@pytest.mark.parametrize(
    "hostile",
    ["." * 100_000 + "x", "!" + "😀" * 50_000 + "x", "\n" * 100_000, "e" + "\u0301" * 99_999],
)
def test_hostile_text_takes_no_time(hostile: str) -> None:
    began = time.process_time()
    split_bubbles(hostile)
    assert time.process_time() - began < 2
