"""What a customer asks for, without the words that every chat is made of."""

import re
import unicodedata
from collections.abc import Container

MOST_WORDS = 10
"""A longer question is a story; its first words carry what is asked for."""

_LONGEST_TEXT = 500
_WORD = re.compile(r"[^\W_]+")
_PRICE_TALK = re.compile(r"\d+(rb|rbu|ribu|k|jt|juta)")

_INDONESIAN = """
    ada adakah ga gak gk nggak enggak ngga tidak tdk engga kah ya yah y iya yaa dong donk deh sih
    nih tuh kok lah kan loh lho aja saja sj doang kak kakak ka min admin gan sis bro bang mas mbak
    mba bu pak bos halo hallo hai selamat pagi siang sore malam assalamualaikum permisi punten misi
    tolong tlg mohon boleh bole bisa bs mau mw pengen pengin pingin ingin minta pesan pesen order
    beli bli ambil cari nyari cariin lihat liat tampilkan kasih kirim info tanya nanya tanyain jual
    dijual jualan menjual sedia tersedia ready redi stok habis kosong masih msh sisa harga harganya
    hrg berapa berapaan brp brpa brapa berape murah termurah mahal apa apakah apaan ap mana siapa
    kapan gimana gmn bagaimana kenapa yang yg itu itunya ini di ke dari dr dan dgn dengan untuk utk
    buat bt sama sm atau ato juga jg lagi lg dulu dl saya sy aku ak gue gw kita kami kamu anda nya
    semua smua daftar menu produk katalog jenis macam pilihan varian rekomendasi rekomen saran
    favorit terlaris populer enak enaknya paling terbaik apapun lain lainnya sekarang skrg hari ni
    satu dua tiga empat lima buah pcs pc porsi bungkus
"""
_ENGLISH = """
    hi hello hey do does you have any some is are was there the a an of in on at to for me my i we
    us please pls plz how much many what whats which who when where can could would should want
    wanna need like get buy sell selling show tell give see look looking find got it its this that
    these those and or with price prices cost costs available availability stock left cheap
    cheapest best popular favourite favorite recommend recommendation recommendations items product
    products list catalog catalogue thanks thank im d s m t ve
"""
SMALL_TALK = frozenset(f"{_INDONESIAN} {_ENGLISH}".split())
"""Words of chats in Indonesian and English that name no product."""


def words_of(text: str) -> list[str]:
    """The words of a text as they are compared: folded case, no accents, no signs."""
    return _WORD.findall(_plain(text[:_LONGEST_TEXT]))


def spellings_of(text: str) -> list[tuple[str, str]]:
    """The words of a text as they are written, each with how it is compared."""
    written = _WORD.findall(unicodedata.normalize("NFC", text[:_LONGEST_TEXT]).casefold())
    return [(word, plain) for word in written for plain in words_of(word)]


def asked_for(query: str, known: Container[str] = frozenset()) -> list[str]:
    """The words of a query that say what is wanted, in order, each once.

    ``known`` are words of the catalogue: numbers are kept only if they stand there, and if nothing
    but small talk is left, small talk that stands there is meant after all.
    """
    spoken = [_singular(word, known) for word in words_of(query)]
    wanted = [
        word
        for word in spoken
        if word not in SMALL_TALK
        and not _PRICE_TALK.fullmatch(word)
        and (not word.isdigit() or word in known)
    ]
    meant = wanted or [word for word in spoken if word in known]
    return list(dict.fromkeys(meant))[:MOST_WORDS]


def _singular(word: str, known: Container[str]) -> str:
    """In chats "kue2" is "kue-kue": several cakes, or any."""
    if word.endswith("2") and word[:-1].isalpha() and word not in known:
        return word[:-1]
    return word


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in folded if not unicodedata.combining(c))
