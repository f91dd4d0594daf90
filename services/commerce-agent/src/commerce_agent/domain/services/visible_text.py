"""What a reader sees of a text, in plain characters, so that one pattern finds every spelling."""

import re
import unicodedata

_DROPPED = frozenset({"Cf", "Mn", "Me", "Cs", "Cc", "Co"})
"""Zero-width and bidi characters, tags, combining marks, lone surrogates, control characters."""

_SAME = str.maketrans(
    {
        "。": ".",
        "\u066b": ",",
        "\u066c": ".",
        "\u2044": "/",
        "\u2215": "/",
        "’": "'",
        "‘": "'",
        "\u2212": "-",
        "\u2043": "-",
    }
)
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕԁһкмтвнАЕОРСУХІЈЅКМТВНΑΒΕΗΙΚΜΝΟΡΤΥΧοερυικ",
    "aeopcyxijsdhkmtbhAEOPCYXIJSKMTBHABEHIKMNOPTYXoepuik",
)
_ODD = re.compile(r"[^\x20-\x7e\n\t]")
_ZEROS = re.compile(r"(?<=[\d.,])[oO]+(?=[\doO.,]|\b)|\b[oO]+(?=\d)")
_ONES = re.compile(r"\b[lI|](?=\d[\d.,])|(?<=\d)[lI|](?=\d)")


def visible_text(text: str) -> str:
    """Drop what nobody sees and write every digit, space, dash and full-width character plainly.

    Letters that only look Latin stay: an address written with them is another address.
    """
    shown = _ODD.sub(lambda match: _plain(match[0]), text)
    if shown.isascii():
        return shown
    shown = unicodedata.normalize("NFKC", shown)
    return _ODD.sub(lambda match: _plain(match[0]), shown).translate(_SAME)


def read_lookalikes(text: str) -> str:
    """Read letters of other alphabets as the Latin ones they look like, and O, l as digits among
    digits; for finding amounts and words, not for comparing addresses."""
    text = text.translate(_LOOKALIKES)
    return _ONES.sub("1", _ZEROS.sub(lambda match: "0" * len(match[0]), text))


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if category in _DROPPED:
        return ""
    if category == "Zs":
        return " "
    if category == "Pd":
        return "-"
    if category == "Nd":
        return str(unicodedata.decimal(character))
    return character
