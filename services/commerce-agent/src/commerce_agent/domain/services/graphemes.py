"""Where a text may be cut without breaking what a reader sees as one character."""

import unicodedata

_JOINER = "\u200d"
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_TAGS = range(0xE0020, 0xE0080)
_REGIONAL = range(0x1F1E6, 0x1F200)
_HANGUL_LEADING = range(0x1100, 0x1160)
_HANGUL_VOWELS = range(0x1160, 0x11A8)
_HANGUL_TRAILING = range(0x11A8, 0x1200)


def is_boundary(text: str, position: int) -> bool:
    """Whether a cut before ``text[position]`` leaves every visible character whole.

    Follows the rules of Unicode's grapheme clusters that chats meet: combining marks, emoji
    sequences and flags, Hangul syllables, Indic conjuncts.
    """
    if position <= 0 or position >= len(text):
        return True
    before, after = text[position - 1], text[position]
    if after == _JOINER or before == _JOINER or (before == "\r" and after == "\n"):
        return False
    if unicodedata.category(after) in ("Mn", "Me", "Mc") or unicodedata.combining(before) == 9:
        return False
    code = ord(after)
    if code in _SKIN_TONES or code in _TAGS:
        return False
    if code in _REGIONAL:
        return not _ends_half_a_flag(text, position)
    return not _inside_hangul(ord(before), code)


def last_boundary(text: str, start: int, end: int) -> int:
    """The last place in ``(start, end]`` where a cut breaks nothing; ``end`` if there is none."""
    position = end
    while position > start and not is_boundary(text, position):
        position -= 1
    return position if position > start else end


def _ends_half_a_flag(text: str, position: int) -> bool:
    count = 0
    while position > count and ord(text[position - count - 1]) in _REGIONAL:
        count += 1
    return count % 2 == 1


def _inside_hangul(before: int, after: int) -> bool:
    if before in _HANGUL_LEADING:
        return after in _HANGUL_LEADING or after in _HANGUL_VOWELS or 0xAC00 <= after <= 0xD7A3
    if before in _HANGUL_VOWELS or (0xAC00 <= before <= 0xD7A3 and (before - 0xAC00) % 28 == 0):
        return after in _HANGUL_VOWELS or after in _HANGUL_TRAILING
    if before in _HANGUL_TRAILING or 0xAC00 <= before <= 0xD7A3:
        return after in _HANGUL_TRAILING
    return False
