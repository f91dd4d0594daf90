"""Long answers in chat-sized pieces, cut where a person would press "send"."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from commerce_agent.domain.services.graphemes import last_boundary

HARD_CAP = 4096
"""No bubble is longer, in characters: WhatsApp's own limit."""

MOST_BUBBLES = 5
"""Later ones are merged as far as the cap lets them."""

_STRETCH = 1.5
"""A list or paragraph that is this much over the limit stays whole all the same."""

_ABBREVIATIONS = frozenset(
    word
    for line in (
        "jl jln gg no nmr rp idr dr drg prof ir hj h kh tn ny nn bpk bp sdr sdri mr mrs ms st ust",
        "a.n an u.p up d.a s.d a.s dll dsb dst dkk hlm hal tgl tlp telp tel ext kec kel kab kav kp",
        "ds rt rw blok lt pt cv tbk ltd inc co vs e.g i.e etc approx ca min maks est",
        "jan feb mar apr jun jul agt aug sep sept okt oct nov des dec",
    )
    for word in line.split()
)
_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
_LINE = re.compile(r"\n[ \t]*")
_SENTENCE = re.compile(
    r"(?<![.!?…])(?:[.!?…]++|[。！？])[)\]”’\"'*_~]*+"
    r"(?:[ \t]?[\U0001F000-\U0001FAFF\u2600-\u27BF\uFE0F\u200D]++)*+(?=\s)"
)
_ITEM = re.compile(r"[ \t]*(?:[-*+•·▪◦‣–]|\d{1,3}[.)])[ \t]")
_WHOLE = re.compile(
    r"```.*?```|\b(?:https?://|www\.)\S+|`[^`\n]+`|(?<!\w)\*(?=\S)[^*\n]+\*(?!\w)"
    r"|(?<!\w)_(?=\S)[^_\n]+_(?!\w)|(?<!\w)~(?=\S)[^~\n]+~(?!\w)",
    re.DOTALL | re.IGNORECASE,
)
_SPACE = re.compile(r"\s+")


class _Rank(IntEnum):
    """How natural a cut is."""

    IN_ITEM = 0
    ITEM = 1
    SENTENCE = 2
    LINE = 3
    PARAGRAPH = 4


@dataclass(frozen=True, slots=True)
class _Cuts:
    positions: list[int]
    ranks: dict[int, _Rank]

    def between(self, start: int, end: int) -> list[int]:
        """The cuts in ``(start, end]``."""
        return self.positions[
            bisect_right(self.positions, start) : bisect_right(self.positions, end)
        ]


def split_bubbles(text: str, *, limit: int = 600) -> list[str]:
    """Cut a text into at most five bubbles of about ``limit`` characters.

    Cuts fall between paragraphs, else lines, else sentences; lists stay together when they can;
    links, inline formatting and visible characters stay whole. No bubble is longer than `HARD_CAP`,
    even where nothing but single characters can be cut; only then there may be more than five.
    Nothing but white space is lost, and no bubble is empty.
    """
    text = text.strip()
    cuts = _find_cuts(text)
    bubbles: list[str] = []
    start = 0
    while start < len(text):
        room = limit if len(bubbles) < MOST_BUBBLES - 1 else HARD_CAP
        end = _next_cut(text, cuts, start, room)
        if piece := text[start:end].strip():
            bubbles.append(piece)
        start = end
    return bubbles


def _next_cut(text: str, cuts: _Cuts, start: int, room: int) -> int:
    if len(text) - start <= room:
        return len(text)
    for candidate in (_comfortable, _stretched, _any_natural):
        if (end := candidate(text, cuts, start, room)) is not None:
            return end
    return _forced(text, start)


def _comfortable(text: str, cuts: _Cuts, start: int, room: int) -> int | None:
    """The last of the most natural cuts that fill a bubble at least a quarter."""
    least = start + room // 4
    good = [p for p in cuts.between(least, start + room) if cuts.ranks[p] >= _Rank.SENTENCE]
    return max(good, key=lambda p: (cuts.ranks[p], p), default=None)


def _stretched(text: str, cuts: _Cuts, start: int, room: int) -> int | None:
    end = min(start + int(room * _STRETCH), start + HARD_CAP)
    if len(text) <= end:
        return len(text)
    good = [p for p in cuts.between(start + room, end) if cuts.ranks[p] >= _Rank.SENTENCE]
    return good[0] if good else None


def _any_natural(text: str, cuts: _Cuts, start: int, room: int) -> int | None:
    within = cuts.between(start, start + room)
    if within:
        return max(within, key=lambda p: (cuts.ranks[p] >= _Rank.ITEM, p))
    later = cuts.between(start, start + HARD_CAP)
    if later:
        return later[0]
    return len(text) if len(text) - start <= HARD_CAP else None


def _forced(text: str, start: int) -> int:
    """At the last space before the cap that separates nothing, else between two characters."""
    end = start + HARD_CAP
    for space in reversed(list(_SPACE.finditer(text, start + HARD_CAP // 2, end))):
        if not _ends_with_abbreviation(text, space.start(), dotted=False):
            return space.end()
    return last_boundary(text, start, end)


def _find_cuts(text: str) -> _Cuts:
    whole = [match.span() for match in _WHOLE.finditer(text)]
    starts = [start for start, _ in whole]

    def is_free(position: int) -> bool:
        index = bisect_right(starts, position) - 1
        return index < 0 or not whole[index][0] < position < whole[index][1]

    ranks: dict[int, _Rank] = {}
    for position, rank in _candidates(text):
        if is_free(position):
            ranks[position] = max(rank, ranks.get(position, rank))
    return _Cuts(sorted(ranks), ranks)


def _candidates(text: str) -> Iterator[tuple[int, _Rank]]:
    for match in _PARAGRAPH.finditer(text):
        yield match.end(), _Rank.PARAGRAPH
    for match in _LINE.finditer(text):
        is_item = _ITEM.match(text, match.start() + 1) or _ITEM.match(text, match.end())
        yield match.end(), _Rank.ITEM if is_item else _Rank.LINE
    for match in _SENTENCE.finditer(text):
        if not _ends_with_abbreviation(text, match.start(), dotted=True):
            line = text.rfind("\n", 0, match.start()) + 1
            yield match.end(), _Rank.IN_ITEM if _ITEM.match(text, line) else _Rank.SENTENCE


def _ends_with_abbreviation(text: str, position: int, *, dotted: bool) -> bool:
    """Whether the word before ``position`` wants what follows it: "Jl", "Rp", "No", "1", "A"."""
    start = position
    while start > max(0, position - 12) and not text[start - 1].isspace():
        start -= 1
    word = text[start:position].lstrip("(\"'“‘[*_~").rstrip(".").lower()
    if word in _ABBREVIATIONS:
        return True
    return dotted and ((word.isdigit() and len(word) <= 3) or (len(word) == 1 and word.isalpha()))
