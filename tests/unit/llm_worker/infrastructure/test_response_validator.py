import pytest

from llm_worker.infrastructure.llm.response_validator import (
    AnswerRefused,
    AnswerTruncated,
    InvalidResponse,
    ResponseQuality,
    checked_response,
    validate_response,
)

Q = ResponseQuality


@pytest.mark.parametrize(
    ("response", "quality"),
    [
        (None, Q.EMPTY),
        ("", Q.EMPTY),
        ("  \n\t ", Q.WHITESPACE_ONLY),
        ("\u200b\ufeff\u2060", Q.WHITESPACE_ONLY),
        ("4", Q.VALID),
        ("Ya!", Q.VALID),
        ("Ada kak, kopi susu.", Q.VALID),
        ("Internal Server Error", Q.ERROR_INDICATOR),
        ("Error: 500 from upstream", Q.ERROR_INDICATOR),
        ("error: rate limit reached", Q.ERROR_INDICATOR),
        ('{"error": {"message": "no"}}', Q.ERROR_INDICATOR),
        ("<!DOCTYPE html><html>", Q.ERROR_INDICATOR),
        ("<html><body>502 Bad Gateway", Q.ERROR_INDICATOR),
        ("Traceback (most recent call last):", Q.ERROR_INDICATOR),
        ("Rate limit exceeded, try again", Q.ERROR_INDICATOR),
        ("null", Q.ERROR_INDICATOR),
        ("[object Object]", Q.ERROR_INDICATOR),
        ("Maaf, ada error di pesanan kakak tadi.", Q.VALID),
        ("Sorry about the error: we sent the wrong cake.", Q.VALID),
        ("Error itu sudah kami perbaiki ya kak.", Q.VALID),
        ("None of our cakes contain nuts.", Q.VALID),
        ("I'm sorry, but I can't help with that.", Q.REFUSAL),
        ("Sorry, I cannot assist with this request.", Q.REFUSAL),
        ("I\u2019m sorry, I can\u2019t do that", Q.REFUSAL),
        ("I can't help with that.", Q.REFUSAL),
        ("Maaf, saya tidak bisa membantu permintaan itu.", Q.REFUSAL),
        ("Mohon maaf, kami tidak dapat menjawabnya.", Q.REFUSAL),
        ("Sorry, the red one is sold out.", Q.VALID),
        ("Maaf kak, tidak ada warna merah, adanya biru.", Q.VALID),
        ("I can't recommend it enough: it is the best café in town.", Q.VALID),
        ("Sorry, I can't open links. " + "Paste the text here and I will read it. " * 8, Q.VALID),
    ],
)
def test_a_response_is_judged_by_its_form(response: str | None, quality: ResponseQuality) -> None:
    result = validate_response(response)
    assert result.quality is quality
    assert result.is_valid is (quality is Q.VALID)
    assert bool(result.reason) is not result.is_valid


def test_a_configuration_may_ask_for_more() -> None:
    assert validate_response("Ya!", min_length=4).quality is Q.TOO_SHORT
    assert validate_response("Ya!!", min_length=4).is_valid


@pytest.mark.parametrize(
    ("ended", "quality"),
    [
        ("stop", Q.VALID),
        (None, Q.VALID),
        ("tool_calls", Q.VALID),
        ("length", Q.TRUNCATED),
        ("max_tokens", Q.TRUNCATED),
        ("content_filter", Q.REFUSAL),
        ("refusal", Q.REFUSAL),
    ],
)
def test_the_providers_word_for_the_end_counts(ended: str | None, quality: ResponseQuality) -> None:
    assert validate_response("Kopi susu kami dibuat dari", ended=ended).quality is quality


def test_a_valid_response_passes_unchanged_and_others_say_what_they_are() -> None:
    assert checked_response(" 4 ") == " 4 "
    with pytest.raises(AnswerTruncated):
        checked_response("Kopi susu kami dibuat dari", ended="length")
    with pytest.raises(AnswerRefused):
        checked_response("Maaf, saya tidak bisa membantu.")
    with pytest.raises(InvalidResponse, match="an error in place of an answer"):
        checked_response("Internal Server Error")
