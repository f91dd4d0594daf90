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


def validate_response(response: str | None, min_length: int = 10) -> ValidationResult:
    """Judge a text by its form: missing, blank, shorter than ``min_length`` visible characters,
    or an error message where an answer should be."""
    if not response:
        return ValidationResult(ResponseQuality.EMPTY, "the model said nothing")
    visible = _INVISIBLE.sub("", response)
    if not visible:
        return ValidationResult(ResponseQuality.WHITESPACE_ONLY, "the model sent blanks only")
    if _ERROR.match(response):
        return ValidationResult(ResponseQuality.ERROR_INDICATOR, "an error in place of an answer")
    if len(response.strip()) < min_length:
        return ValidationResult(ResponseQuality.TOO_SHORT, f"fewer than {min_length} characters")
    return ValidationResult(ResponseQuality.VALID)
