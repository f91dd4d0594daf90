"""Facts that customers tell about themselves and their budget, taken out of a message."""

import re

from llm_worker.infrastructure.llm.offline.normalise import read
from llm_worker.infrastructure.llm.offline.words import FILLER, JOINERS

_NAME = re.compile(
    r"(?:\bnama\s*(?:saya|aku|gue|gw|ku)|\bnamaku|\bpanggil\s+(?:saja\s+|aja\s+)?(?:saya|aku)"
    r"|\bmy\s+name\s+is|\bmy\s+name's|\bcall\s+me)\s*(?:adalah|itu|:|=)?\s*"
    r"(?P<name>[^\W\d_][^\W\d_'’.-]*(?:\s+[^\W\d_][^\W\d_'’.-]*){0,2})",
    re.IGNORECASE,
)
_HOME = re.compile(
    r"(?:\balamat\s*(?:rumah\s*)?(?:saya|aku|ku)|\bmy\s+address\s+is|\bi\s+live\s+(?:at|in))"
    r"\s*(?:adalah|itu|di|:|=)?\s*(?P<home>[^\s?][^?\n]{4,200})",
    re.IGNORECASE,
)
_SPEAK = re.compile(
    r"(?:pakai|pake|in|speak|bahasa|switch to|using)\s+(?:bahasa\s+)?"
    r"(?P<language>inggris|english|indonesia|indonesian)\b",
    re.IGNORECASE,
)
_BUDGET = re.compile(
    r"(?:di ?bawah|kurang dari|maksimal|max|budget|under|below|less than|cheaper than)"
    r"\s*(?:rp\.?\s*)?(?P<number>\d{1,9}(?:[.,]\d{1,3}){0,3})\s*(?P<unit>rb|ribu|k|jt|juta)?\b",
    re.IGNORECASE,
)
_ASKING = ("apa", "di mana", "mana", "yang", "berapa", "what", "where", "sudah")
_NO_NAME = FILLER | JOINERS | {"siapa", "halo", "makasih", "thanks"}
_UNITS = {"rb": 1000, "ribu": 1000, "k": 1000, "jt": 1_000_000, "juta": 1_000_000}


def profile_changes(message: str) -> tuple[dict[str, str], str]:
    """Name, address and language that the customer tells, and the message without them."""
    changes: dict[str, str] = {}
    if match := _NAME.search(message):
        name, rest = _cut_name(match["name"])
        if name:
            changes["name"] = name
            message = f"{message[: match.start()]} , {rest} {message[match.end() :]}"
    if (match := _HOME.search(message)) and not read(match["home"]).text.startswith(_ASKING):
        changes["address"] = match["home"].strip(" .,!")
        message = _without(message, match)
    if match := _SPEAK.search(message):
        changes["language"] = "en" if match["language"].lower() in ("inggris", "english") else "id"
        message = _without(message, match)
    return changes, message


def budget(message: str) -> tuple[int | None, str]:
    """The highest price the customer names, in whole units, and the message without it."""
    match = _BUDGET.search(message)
    if match is None:
        return None, message
    unit, number = (match["unit"] or "").lower(), match["number"]
    if unit and re.fullmatch(r"\d+[.,]\d", number):  # "1,5 jt"
        amount = round(float(number.replace(",", ".")) * _UNITS[unit])
    else:
        amount = int(re.sub(r"\D", "", number)) * _UNITS.get(unit, 1)
    return amount or None, _without(message, match)


def _without(message: str, match: re.Match[str]) -> str:
    return f"{message[: match.start()]} , {message[match.end() :]}"


def _cut_name(told: str) -> tuple[str, str]:
    """ "budi mau pesan" is Budi, who wants to order."""
    kept: list[str] = []
    words = told.split()
    for word in words:
        if any(each in _NO_NAME for each in read(word).words):
            break
        kept.append(word if word != word.lower() else word.capitalize())
    return " ".join(kept), " ".join(words[len(kept) :])
