"""Ways to lead a reader somewhere else: addresses of pages and mail, names in other networks,
telephone and account numbers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

_TOP_LEVELS = (
    "com net org info biz edu gov mil int id my sg au us uk eu jp cn kr tw hk th vn ph in ru de nl "
    "fr it es pt pl tr br mx ca za ae sa me io co ly gl gg ai tv cc tk ml ga cf gq pw ws la vc fm "
    "nu st is to be at ch se no dk fi cz gr ro hu ua kz ir app dev xyz shop store online site "
    "website link click live club top vip win world icu"
).replace(" ", "|")
"""In capitals, too. In small letters every ending counts: there are over a thousand."""

_SCHEME = r"(?:https?|hxxps?|ftp|javascript|data|tel|sms|whatsapp|intent|market|upi)"
_LABELS = r"(?:[^\W_](?:[\w-]{0,62}[^\W_])?\.){1,30}"
_REST = r"(?::\d+)?(?:[/?#][^\s<>\"]*)?"
_ABBREVIATED = r"(?:jl|jln|no|tlp|telp|tgl|rp|hlm|dll|dsb)\."
_HAS_A_LETTER = r"(?=[\d_.-]{0,60}[^\W\d_])"
_ANY_ENDING = r"(?-i:[^\W\d_A-Z]{2,24})"
_GROUPED_NUMBER = r"\d+(?:\.\d{3}){3}(?![\d.])"
_URL = re.compile(
    rf"(?<![\w@.])(?:{_SCHEME}:(?://)?[^\s<>\"]+|www\.[^\s<>\"]+"
    rf"|{_LABELS}(?:{_TOP_LEVELS})(?![\w-]){_REST}"
    rf"|(?!{_ABBREVIATED}){_HAS_A_LETTER}{_LABELS}{_ANY_ENDING}(?![\w-]){_REST}"
    rf"|(?!{_GROUPED_NUMBER})\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?![\d.]){_REST})",
    re.IGNORECASE,
)
_DOT = r"(?:[\[({]\s?(?:dot|titik|\.)\s?[\])}]|[\s-](?:dot|titik)[\s-]|\s\.\s?|\[\.|\.\])"
_HIDDEN_URL = re.compile(
    rf"(?<!\w)(?:h\s?[tx]\s?[tx]\s?p\s?s?\s?:\s?/\s?/\s?\S+|[^\W_][\w-]{{0,62}}\s?{_DOT}\s?"
    rf"(?:{_TOP_LEVELS}|[^\W_][\w-]{{0,62}}\s?(?:{_DOT}|\.)\s?(?:{_TOP_LEVELS}))(?!\w)"
    r"|[\w-]{2,63},(?:com|net|org|xyz|shop)\b|\w{1,63}\s(?:com|net|org|ly|me|id|io|co)/\S+)",
    re.IGNORECASE,
)
_SPREAD = re.compile(r"(?<!\w)(?:[\w.:/-]\s){3,200}[\w.:/-](?!\w)")
_EMAIL = re.compile(
    r"(?<![^\s@<>\"])[^\s@<>\"]+(?:@|\s?[\[({]\s?at\s?[\])}]\s?)"
    r"[^\W_](?:[\w-]{0,62}[^\W_])?(?:\.[\w-]{1,63})+",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<![\w@.])@[a-z][\w.]{2,}", re.IGNORECASE)
_DIGITS = re.compile(r"(?<!\d)\+?\(?\d(?:[ \t.()-]{0,3}\d){7,}(?!\d)")
_GROUP = re.compile(r"\d+")
_OF_AN_ACCOUNT = re.compile(
    r"\b(?:rek|norek|rekening\w*|accounts?|acct?|akun|iban|va|virtual account|transfer|bca|bri|bni"
    r"|mandiri|bsi|cimb|ovo|gopay|dana)\b[^\n]{0,30}\Z",
    re.IGNORECASE,
)


class LeadKind(StrEnum):
    """Where a piece of text leads."""

    ADDRESS = "address"
    PHONE = "phone"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class Lead:
    """A piece of text that leads away. ``end`` is exclusive."""

    kind: LeadKind
    start: int
    end: int
    value: str
    """In the one form under which equal ones are equal."""


def find_addresses(text: str) -> Iterator[Lead]:
    """Web and mail addresses and @names, also bare and disguised ones.

    ``text`` has been through `visible_text`, and not through `read_lookalikes`.
    """
    for match in _EMAIL.finditer(text):
        yield _address(match)
    for match in _HIDDEN_URL.finditer(text):
        yield _address(match)
    for match in _URL.finditer(text):
        yield _address(match)
    for match in _SPREAD.finditer(text):
        if _URL.search("".join(match[0].split())):
            yield _address(match)
    for match in _NAME.finditer(text):
        yield _address(match)


def find_long_numbers(text: str) -> Iterator[Lead]:
    """Telephone and account numbers: eight digits or more, also with spaces and dashes; pairs of
    digits, which may be sizes, only where the words before speak of an account.

    ``text`` has been through `visible_text`; amounts, dates and times are already masked.
    """
    for match in _DIGITS.finditer(text):
        groups = _GROUP.findall(match[0])
        value = same_number("".join(groups))
        is_phone = match[0].startswith("+") or value.startswith("0")
        single = all(len(group) == 1 for group in groups)
        whole = single or all(len(group) >= 3 for group in groups)
        before = text[max(0, match.start() - 50) : match.start()]
        if is_phone or whole or _OF_AN_ACCOUNT.search(before):
            kind = LeadKind.PHONE if is_phone else LeadKind.ACCOUNT
            yield Lead(kind, match.start(), match.end(), value)


def same_number(digits: str) -> str:
    """One form for a number written with and without its country code."""
    return "0" + digits[2:] if digits.startswith("62") and len(digits) >= 10 else digits


def same_address(address: str) -> str:
    """One form for an address, with and without scheme and "www."."""
    address = address.strip().rstrip(".,;:!?)]}'\"*_~").lower()
    return re.sub(r"\A(?:https?://)?(?:www\.)?", "", address).rstrip("/")


def _address(match: re.Match[str]) -> Lead:
    return Lead(LeadKind.ADDRESS, match.start(), match.end(), same_address(match[0]))
