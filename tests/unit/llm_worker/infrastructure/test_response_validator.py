import pytest

from llm_worker.infrastructure.llm.response_validator import ResponseQuality, validate_response

Q = ResponseQuality


@pytest.mark.parametrize(
    ("response", "quality"),
    [
        (None, Q.EMPTY),
        ("", Q.EMPTY),
        ("  \n\t ", Q.WHITESPACE_ONLY),
        ("\u200b\ufeff\u2060", Q.WHITESPACE_ONLY),
        ("Ya!", Q.TOO_SHORT),
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
    ],
)
def test_a_response_is_judged_by_its_form(response: str | None, quality: ResponseQuality) -> None:
    result = validate_response(response)
    assert result.quality is quality
    assert result.is_valid is (quality is Q.VALID)
    assert bool(result.reason) is not result.is_valid


def test_a_chat_may_be_brief() -> None:
    assert validate_response("Ya!", min_length=1).is_valid
