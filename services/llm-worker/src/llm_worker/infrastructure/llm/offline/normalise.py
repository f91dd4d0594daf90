"""From what was typed to words that can be looked up."""

import re
import unicodedata
from dataclasses import dataclass
from difflib import get_close_matches

from llm_worker.infrastructure.llm.offline.words import (
    EMOJI,
    ENGLISH,
    ENGLISH_FOOD,
    FILLER,
    INDONESIAN,
    INDONESIAN_FOOD,
    SLANG,
    TYPO_TARGETS,
)

_TOKEN = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+(?:['’-][^\W_]+)*|[,&+]")
_THREE_OR_MORE = re.compile(r"(.)\1{2,}")
_DOUBLED = re.compile(r"^([^\W\d_]{3,})2(nya)?$")
_KNOWN = INDONESIAN | INDONESIAN_FOOD | ENGLISH | ENGLISH_FOOD | FILLER | frozenset(SLANG)
LONGEST = 1000
"""Characters of a message that are read; nobody asks for a product in more."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One message: as typed, and as words without slang, typing errors and signs."""

    original: str
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.words)


def read(message: str) -> Utterance:
    """Bring a message into the words that `understanding` knows."""
    plain = unicodedata.normalize("NFKC", message[:LONGEST]).lower().replace("’", "'")
    plain = EMOJI.sub(" ", plain)
    words: list[str] = []
    for token in _TOKEN.findall(plain):
        words.extend(_mend(token).split())
    return Utterance(original=message, words=tuple(words))


def language_of(utterance: Utterance) -> str | None:
    """``id`` or ``en``; ``None`` when the words do not tell."""
    return _leaning(utterance, INDONESIAN, ENGLISH)


def food_language_of(utterance: Utterance) -> str | None:
    """A guess by the food that is named, for want of anything better."""
    return _leaning(utterance, INDONESIAN_FOOD, ENGLISH_FOOD)


def _leaning(
    utterance: Utterance, indonesian: frozenset[str], english: frozenset[str]
) -> str | None:
    lead = sum((word in indonesian) - (word in english) for word in utterance.words)
    if lead == 0:
        return None
    return "id" if lead > 0 else "en"


def _mend(token: str) -> str:
    if not token[0].isalpha():
        return token
    word = _unstretch(token)
    if doubled := _DOUBLED.match(word):  # "roti2" is how "roti-roti" is typed
        word = doubled[1]
    if word in SLANG:
        return SLANG[word]
    if word in _KNOWN or len(word) < 5:
        return word
    close = get_close_matches(word, TYPO_TARGETS, n=1, cutoff=0.86)
    return close[0] if close else word


def _unstretch(token: str) -> str:
    """ "haloooo" and "kakkk": the first known spelling with fewer repeats, else one of each."""
    if token in _KNOWN:
        return token
    twice, once = _THREE_OR_MORE.sub(r"\1\1", token), _THREE_OR_MORE.sub(r"\1", token)
    for candidate in (twice, once, re.sub(r"(.)\1+$", r"\1", once)):
        if candidate in _KNOWN:
            return candidate
    return once
