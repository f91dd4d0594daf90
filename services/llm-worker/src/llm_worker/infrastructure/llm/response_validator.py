"""Is a model's text an answer at all? Says nothing about whether the answer is right."""

import re
from dataclasses import dataclass
from enum import Enum

from shared.kernel.errors import Invalid


class ResponseQuality(Enum):
    VALID = "valid"
    EMPTY = "empty"
    WHITESPACE_ONLY = "whitespace_only"
    TOO_SHORT = "too_short"
    ERROR_INDICATOR = "error_indicator"
    TRUNCATED = "truncated"
    """The provider says that the answer was longer than it was allowed to be."""
    REFUSAL = "refusal"
    """Nothing but a refusal, in its own words or the provider's."""


@dataclass(frozen=True, slots=True)
class ValidationResult:
    quality: ResponseQuality
    reason: str = ""

    @property
    def is_valid(self) -> bool:
        return self.quality is ResponseQuality.VALID


class InvalidResponse(Invalid):
    """The model answered with something that is no answer."""

    code = "model_answer_invalid"


class AnswerTruncated(InvalidResponse):
    """The answer is cut off: it is longer than max_tokens lets it be."""

    code = "model_answer_truncated"


class AnswerRefused(InvalidResponse):
    """The model refused to answer."""

    code = "model_refused"


_INVISIBLE = re.compile(r"[\s\u00ad\u200b-\u200f\u2060-\u2064\ufeff]+")
# Anchored at the start and tied to the form of machine messages: a sentence about an error, such
# as "maaf, ada error di pesanan kakak", is an answer.
_ERROR = re.compile(
    r"""\s*(?:
        (?:internal\s+server\s+error|service\s+unavailable|bad\s+gateway|gateway\s+time-?out)\b
      | (?:api\s*)?(?:error|exception)\s*(?:code)?\s*[:=]\s*(?:\d{3}\b|\{
            |internal|invalid|unauthori[sz]ed|rate|timeout|timed?\s|model|request|upstream|connection)
      | \{\s*"(?:error|detail)"\s*:
      | <(?:!doctype|html|\?xml)\b
      | traceback\s+\(most\s+recent\s+call\s+last\)
      | (?:rate\s+limit|quota)\s+(?:exceeded|reached)\b
      | (?:null|none|undefined|nan|\[object\ object\])\s*\Z
    )""",
    re.IGNORECASE | re.VERBOSE,
)


_CUT_OFF = frozenset({"length", "max_tokens", "model_context_window_exceeded"})
_REFUSED = frozenset({"content_filter", "refusal", "safety"})
"""How providers say why an answer ended."""

_LONGEST_REFUSAL = 240
"""Characters. A refusal that goes on, and offers something instead, is an answer."""
_REFUSAL = re.compile(
    r"""\s*(?:
        (?:i(?:'|\u2019)?m\s+(?:very\s+)?sorry|i\s+am\s+sorry|sorry|i\s+apologi[sz]e|unfortunately)
            [\s,.!]*(?:but\s+)?i\s*(?:can(?:'|\u2019)?t|cannot|can\s+not|am\s+(?:not\s+able|unable)|won(?:'|\u2019)?t)
      | (?:(?:mohon\s+)?maaf|mohon\s+ma(?:'|\u2019)?af)(?:kan)?[\s,.!]*(?:(?:tapi|namun)\s+)?
            (?:saya|aku|kami)?\s*(?:tidak|tak|ga|gak|nggak|belum)\s*(?:bisa|dapat|mampu|boleh)
      | i\s*(?:can(?:'|\u2019)?t|cannot|won(?:'|\u2019)?t|am\s+unable\s+to)\s+
            (?:help|assist|comply|provide|answer)
    )""",
    re.IGNORECASE | re.VERBOSE,
)


def validate_response(
    response: str | None, min_length: int = 1, *, ended: str | None = None
) -> ValidationResult:
    """Judge a text by its form.

    It is missing or blank, an error message where an answer should be, nothing but a refusal
    (Indonesian or English), shorter than ``min_length`` visible characters, or cut off. ``ended``
    is the provider's word for why the answer ended. A short answer is often the right one ("4",
    "Ya."), so one character is enough unless a configuration asks for more.
    """
    if ended in _REFUSED:
        return ValidationResult(ResponseQuality.REFUSAL, "the provider held the answer back")
    if not response:
        return ValidationResult(ResponseQuality.EMPTY, "the model said nothing")
    visible = _INVISIBLE.sub("", response)
    if not visible:
        return ValidationResult(ResponseQuality.WHITESPACE_ONLY, "the model sent blanks only")
    if _ERROR.match(response):
        return ValidationResult(ResponseQuality.ERROR_INDICATOR, "an error in place of an answer")
    if len(response.strip()) < min_length:
        return ValidationResult(ResponseQuality.TOO_SHORT, f"fewer than {min_length} characters")
    if len(response) <= _LONGEST_REFUSAL and _REFUSAL.match(response):
        return ValidationResult(ResponseQuality.REFUSAL, "the model refused to answer")
    if ended in _CUT_OFF:
        return ValidationResult(ResponseQuality.TRUNCATED, "the answer is cut off")
    return ValidationResult(ResponseQuality.VALID)


def checked_response(response: str, min_length: int = 1, *, ended: str | None = None) -> str:
    """The text itself, if it is valid.

    Raises:
        AnswerTruncated, AnswerRefused: as their names say.
        InvalidResponse: it is invalid in another way.
    """
    result = validate_response(response, min_length, ended=ended)
    if result.is_valid:
        return response
    kind = _KINDS.get(result.quality, InvalidResponse)
    raise kind(result.reason)


_KINDS = {
    ResponseQuality.TRUNCATED: AnswerTruncated,
    ResponseQuality.REFUSAL: AnswerRefused,
}
