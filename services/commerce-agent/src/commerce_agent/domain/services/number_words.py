"""Numbers as people say them, in Indonesian and English: ``dua puluh lima ribu``, ``1,5 jt``."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal


def _counted(words: str, start: int, step: int) -> dict[str, int]:
    """Each word with its value; words joined by ``/`` mean the same."""
    return {
        word: start + step * place
        for place, same in enumerate(words.split())
        for word in same.split("/")
    }


_UNITS = _counted(
    "nol/zero satu/one dua/two tiga/three empat/four lima/five enam/six tujuh/seven "
    "delapan/lapan/eight sembilan/nine sepuluh/ten sebelas/eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen",
    0,
    1,
)
_TENS = _counted("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10)
_WHOLE = {
    "seratus": 100,
    "seribu": 1_000,
    "serebu": 1_000,
    "sejuta": 1_000_000,
    "semiliar": 1_000_000_000,
    "semilyar": 1_000_000_000,
    "seceng": 1_000,
    "goceng": 5_000,
    "ceban": 10_000,
    "noban": 20_000,
    "jigo": 25_000,
    "gocap": 50_000,
    "gopek": 500,
}
"""Words that are an amount by themselves; the last seven are market slang for rupiah."""

_SCALES = {
    "rb": 1_000,
    "rban": 1_000,
    "rebu": 1_000,
    "ribu": 1_000,
    "ribuan": 1_000,
    "k": 1_000,
    "ceng": 1_000,
    "thousand": 1_000,
    "grand": 1_000,
    "jt": 1_000_000,
    "jtan": 1_000_000,
    "juta": 1_000_000,
    "jutaan": 1_000_000,
    "million": 1_000_000,
    "mio": 1_000_000,
    "miliar": 1_000_000_000,
    "milyar": 1_000_000_000,
    "billion": 1_000_000_000,
}
_HALVES = {"setengah": Decimal("0.5"), "half": Decimal("0.5")}
_MULTIPLIERS = {"puluh": 10, "ratus": 100, "hundred": 100}
_TEEN = "belas"

_LITERAL = r"\d{1,3}(?:[.,']\d{3})+(?:[.,]\d{1,2})?(?![\d])|\d+(?:[.,]\d+)?"
_STARTERS = "|".join(sorted((*_UNITS, *_TENS, *_WHOLE, *_HALVES), key=len, reverse=True))
_FOLLOWERS = "|".join(sorted((*_SCALES, *_MULTIPLIERS, _TEEN), key=len, reverse=True))
_TOKEN = re.compile(
    rf"(?<!\d)(?<!\d[.,'])(?P<literal>{_LITERAL})"
    rf"|(?<![a-z])(?P<word>{_STARTERS}|{_FOLLOWERS})(?:-?an)?(?![a-z0-9])",
    re.IGNORECASE,
)
_GAP = re.compile(r"[ \t-]{0,3}(?:(?:dan|and|a)[ \t]{1,2})?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NumberSeen:
    """A number of a text. ``end`` is exclusive."""

    start: int
    end: int
    value: Decimal
    is_literal: bool
    """Written in digits only."""
    is_grouped: bool = False
    """Written with separators of thousands."""
    is_scaled: bool = False
    """Said in thousands or more: "50rb", "dua ribu"."""
    digits: str = ""
    """Of spoken digit after digit: the digits."""


@dataclass(frozen=True, slots=True)
class _Token:
    start: int
    end: int
    text: str
    is_literal: bool


def find_numbers(text: str) -> Iterator[NumberSeen]:
    """Every number of a text that `visible_text` has made plain, in order."""
    for run in _runs(text):
        yield from _read(run)


def read_literal(text: str, *, scaled: bool = False) -> Decimal:
    """Read digits with either kind of separators: ``50.000``, ``50,000.00``, ``1,5``.

    A single separator before exactly three digits groups thousands, unless a scale word follows:
    ``1.500`` is fifteen hundred, ``1.500 juta`` one and a half million.
    """
    marks = [character for character in text if not character.isdigit()]
    if not marks:
        return Decimal(text)
    tail = len(text) - 1 - max(text.rfind(mark) for mark in marks)
    single = len(marks) == 1
    is_decimal = tail != 3 or (single and (scaled or text.startswith("0")))
    digits = "".join(character for character in text if character.isdigit())
    if not is_decimal:
        return Decimal(digits)
    return Decimal(f"{digits[:-tail] or '0'}.{digits[-tail:]}")


def _runs(text: str) -> Iterator[list[_Token]]:
    run: list[_Token] = []
    for match in _TOKEN.finditer(text):
        is_literal = match["literal"] is not None
        token = _Token(
            match.start(),
            match.end(),
            match["literal"] if is_literal else match["word"].lower(),
            is_literal,
        )
        if run and not _continues(text, run[-1], token):
            yield run
            run = []
        run.append(token)
    if run:
        yield run


def _continues(text: str, last: _Token, token: _Token) -> bool:
    if not _GAP.fullmatch(text, last.end, token.start):
        return False
    if token.is_literal:
        return last.text in _SCALES  # "1 juta 250 ribu"
    if last.is_literal and (token.text in _UNITS or token.text in _TENS):
        return False  # "+62 eight one two"
    return last.text not in ("k", "rb", "jt") or token.text in _SCALES


def _read(run: Sequence[_Token]) -> Iterator[NumberSeen]:
    while run and not (run[0].is_literal or run[0].text not in (*_SCALES, *_MULTIPLIERS, _TEEN)):
        run = run[1:]  # "ribuan pelanggan" names no number
    if not run:
        return
    words = [token.text for token in run]
    if len(run) >= 4 and all(_UNITS.get(word, 10) < 10 for word in words):
        digits = "".join(str(_UNITS[word]) for word in words)
        yield NumberSeen(run[0].start, run[-1].end, Decimal(digits), False, digits=digits)
        return
    yield NumberSeen(
        run[0].start,
        run[-1].end,
        _sum(words),
        is_literal=len(run) == 1 and run[0].is_literal,
        is_grouped=len(run) == 1 and _is_grouped(run[0]),
        is_scaled=any(word in _SCALES or word in _WHOLE for word in words),
    )


def _is_grouped(token: _Token) -> bool:
    return (
        token.is_literal
        and re.fullmatch(r"[1-9]\d{0,2}(?:[.,']\d{3})+(?:[.,]\d{1,2})?", token.text) is not None
    )


def _sum(words: Sequence[str]) -> Decimal:
    total = current = last = Decimal(0)
    for position, word in enumerate(words):
        scaled = position + 1 < len(words) and words[position + 1] in _SCALES
        if word[0].isdigit():
            last = read_literal(word, scaled=scaled)
            current += last
        elif word in _UNITS or word in _TENS or word in _HALVES:
            last = Decimal(_UNITS.get(word, _TENS.get(word, _HALVES.get(word, 0))))
            current += last
        elif word in _WHOLE:
            current += _WHOLE[word]
        elif word == _TEEN:
            current += 10
        elif word in _MULTIPLIERS:
            current += last * (_MULTIPLIERS[word] - 1)
        else:
            total += (current or 1) * _SCALES[word]
            current = last = Decimal(0)
    return total + current
