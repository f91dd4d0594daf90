"""Claims in words that only code may make: paid, refunded, free, discounted, sent."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Promise(StrEnum):
    """What a sentence promises or claims."""

    FREE = "free"
    DISCOUNT = "discount"
    PAID = "paid"
    REFUND = "refund"
    ORDERED = "ordered"


@dataclass(frozen=True, slots=True)
class PromiseSeen:
    """A claim of a text."""

    promise: Promise
    text: str


def _pattern(text: str) -> re.Pattern[str]:
    """Verbose, in any case; ``~`` stands for up to four words between two others."""
    return re.compile(text.replace("~", r"(?:\s\w+){0,4}\s"), re.IGNORECASE | re.VERBOSE)


_PATTERNS: dict[Promise, re.Pattern[str]] = {
    Promise.FREE: _pattern(
        r"""
        \b(?: gratis\w* | cuma-cuma | bebas\s(?:biaya|ongkir|ongkos|bayar) | tanpa\sbiaya
            | complimentary | on\sthe\shouse | free\sof\scharge | for\sfree
            | no\s(?:extra\s)?charge )\b
        | (?<![\w-]) (?<!feel\s)(?<!sugar\s)(?<!gluten\s)(?<!dairy\s)(?<!lactose\s)(?<!fat\s)
          (?<!caffeine\s)(?<!nut\s)(?<!egg\s)
          free\b (?! -\w | \s(?:range|time|to|from|wi-?fi|if|when)\b )
        | \b(?: buy\s\w+\sget\s\w+ | beli\s\w+\s(?:dapat|gratis|free)\s\w+ | half[ -]price
            | (?:setengah|separuh)\sharga
            | (?:tidak|tak|nggak|gak|ga)\s(?:perlu|usah)\s(?:mem)?bayar
            | (?:no|don't)\sneed\sto\spay )\b
        """
    ),
    Promise.DISCOUNT: _pattern(
        r"""
        \b(?: diskon\w* | discount\w* | potongan(?:\sharga)? | cash\s?back | promo\w* | voucher\w*
            | kupon | coupon | hemat | off | sale | korting )\b
        """
    ),
    Promise.PAID: _pattern(
        r"""
        \blunas\b | \b(?-i:PAID)\b
        | \b(?:sudah|telah|udah|berhasil)\s(?:di|ter|mem)?bayar\w*
        | \b(?:pembayaran|transfer)\w*~(?:diterima|masuk|berhasil|sukses|selesai|lunas
            |terkonfirmasi|dikonfirmasi|terverifikasi|kami\sterima)\b
        | \bpayment~(?:received|confirmed|successful|completed?|cleared|accepted|verified|through)\b
        | \b(?:received|got|confirmed)(?:\s\w+){0,2}\spayment\b
        | \b(?:is|are|been|was|fully|already)\spaid\b | \bpaid\sin\sfull\b
        """
    ),
    Promise.REFUND: _pattern(
        r"""
        \brefund\w* | \bmoney[ -]back\b | \bpengembalian\s(?:dana|uang)\b
        | \b(?:uang|dana)\w*(?:\s\w+){0,2}\s(?:(?:di)?kembali\w*|balik)
        | \bkembalikan\s(?:uang|dana)\w*
        """
    ),
    Promise.ORDERED: _pattern(
        r"""
        \b(?:pesanan|order|orderan|paket)\w*(?:\s\w+){0,3}\s(?:sudah|telah|berhasil|udah|sedang)
            (?:\s\w+){0,2}\s(?:dikirim|diproses|proses|dibuat|dicatat|catat|dikonfirmasi|masuk
            |diterima|dibatalkan|siap|dalam\sperjalanan
            |(?:kami|saya)\s(?:kirim|antar|buat|catat|proses|terima|konfirmasi|batal)\w*)\b
        | \b(?:sudah|telah|berhasil)\s(?:\w+\s){0,2}(?:pesankan|orderkan|catatkan
            |buatkan\spesanan)\b
        | \border(?:\s\w+){0,3}\s(?:has\sbeen|have\sbeen|is|was|been)\s(?:\w+\s)?(?:placed
            |confirmed|shipped|sent|processed|created|cancell?ed|on\s(?:its|the)\sway|ready)\b
        | \b(?:pesanan|order|orderan|paket)\w*\s(?:dikonfirmasi|terkonfirmasi|otw|berhasil|confirmed
            |placed|shipped)\b
        | \bI(?:'ve|\shave)\s(?:\w+\s){0,2}(?:placed|ordered|shipped|cancell?ed)\b
        """
    ),
}
_OFFER = _pattern(
    r"""
    \d\s?(?:%|persen|percent) | \bRp | \b\d+\s?(?:rb|ribu|k)\b
    | \b(?: ada | adakan | dapat | dapatkan | dpt | beri\w* | kasih | kasi | pakai | gunakan
        | berlaku | spesial | khusus | sedang | lagi | get | gets | have | has | offer\w* | give
        | giving | use | apply | applied | enjoy | special | with | there(?:'s|\sis|\sare) | now )\b
    """
)
_NO_OFFER = _pattern(
    r"""
    \b(?: for\ssale | on\ssale\snow\sat | take[ -]?off | drop[ -]?off | day\soff
        | off[ -](?:the|menu|peak|to) | turn(?:ed)?\soff | hemat\s(?:waktu|tempat|energi|listrik)
        | sale\sprice )\b
    """
)
_NOT = _pattern(
    r"""
    \b(?: tidak | tak | nggak | ngga | enggak | gak | ga | gk | tdk | belum | blm | bukan | tanpa
        | jangan | not | no | never | none | cannot | without | unable | \w+n't )\b
    """
)
_NOT_AFTER = _pattern(
    r"""
    (?:\s\w+){0,2}?\s (?: (?:tidak|belum|nggak|gak|ga)\s(?:ada|berlaku|tersedia)
        | (?:is|are)(?:n't|\snot) )\b
    """
)
_IF = _pattern(
    r"""
    \b(?: kalau | kalo | jika | bila | apabila | setelah | sebelum | begitu | saat(?!\sini) | ketika
        | if | when | once | after | before | until | unless )\b
    """
)
_PEOPLE = _pattern(
    r"""
    \b(?: tim | staff? | admin | petugas | pemilik | rekan | kasir | manusia | orang | team | human
        | person | colleagues? | owner | manager )\b
    """
)
_SURELY = _pattern(
    r"""
    \b(?: akan | pasti | sudah | telah | will | \w+'ll | have | has\sbeen )\s
    (?: (?! \w*bantu | \w*cek | \w*periksa | help | check )\w+\s){0,2}
    (?: refund\w* | (?:di)?kembalikan | balik )\b
    """
)
_ASKS = _pattern(r"\W*(?:apakah|apa|kapan|sudahkah|have|has|did|do|is|are|was|when)\b")
_CUT = re.compile(r"(?<=[.!?;])\s|\n|[,;:]\s(?=(?:tapi|namun|tetapi|but|however)\b)")
_MOST_DENIALS = 10
"""A sentence that speaks of it more often than this is not an honest answer."""
_NEEDS_A_NUMBER = frozenset({"off", "sale", "hemat"})


def find_promises(text: str) -> Iterator[PromiseSeen]:
    """The promises of a text, at most one of a kind per sentence.

    A denied one ("belum ada diskon") is none, neither is a refund that people will decide about,
    nor what was only asked or supposed ("kalau sudah dibayar"). ``text`` has been through
    `visible_text`.
    """
    for sentence in _CUT.split(text):
        for promise, pattern in _PATTERNS.items():
            for count, match in enumerate(pattern.finditer(sentence)):
                if count >= _MOST_DENIALS or _is_claim(promise, sentence, match):
                    yield PromiseSeen(promise, match[0])
                    break


def _is_claim(promise: Promise, sentence: str, match: re.Match[str]) -> bool:
    if _is_denied(sentence, match):
        return False
    if promise is Promise.DISCOUNT:
        return _is_offer(sentence, match) and not _PEOPLE.search(sentence)
    if promise is Promise.REFUND:
        return not _PEOPLE.search(sentence) or _SURELY.search(sentence) is not None
    if promise in (Promise.PAID, Promise.ORDERED):
        before = sentence[max(0, match.start() - 50) : match.start()]
        return not (_is_question(sentence) or _IF.search(before))
    return True


def _is_denied(sentence: str, match: re.Match[str]) -> bool:
    """ "Belum ada diskon", "diskon belum ada"; not "tidak masalah, ada diskon" """
    clause = re.split(r"[,;:]", sentence[max(0, match.start() - 50) : match.start()])[-1]
    return bool(_NOT.search(clause) or _NOT_AFTER.match(sentence, match.end()))


def _is_offer(sentence: str, match: re.Match[str]) -> bool:
    if _NO_OFFER.search(sentence):
        return False
    near = sentence[max(0, match.start() - 40) : match.end() + 40]
    if match[0].lower() in _NEEDS_A_NUMBER:
        return re.search(r"\d", near) is not None
    return _OFFER.search(near) is not None


def _is_question(sentence: str) -> bool:
    return sentence.rstrip().endswith("?") and _ASKS.match(sentence) is not None
