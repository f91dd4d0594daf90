"""In which language a customer is answered."""

import re
from collections.abc import Iterable


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_INDONESIAN = _words(
    """
    apa ada yang yg dan atau di ke dari untuk utk buat ini itu saya aku kamu anda kak kakak mas mbak
    pak bu bang gan sis halo hai selamat pagi siang sore malam berapa brp harga stok stoknya ready
    mau pesan beli ambil kirim bayar tidak tdk nggak ngga gak ga enggak bukan belum blm sudah udah
    udh bisa boleh tolong mohon terima kasih makasih makasi trims dong donk ya iya kok sih deh nih
    tuh aja saja lagi juga jg dengan dgn kalau kalo klo gimana bagaimana mana kapan kenapa siapa
    kopi teh roti susu gula es panas dingin enak murah mahal rekomendasi punya jual satu dua tiga
    empat lima alamat buka tutup jam hari besok bapak ibu masih bikin kasih toko barang produk
    """
)
_ENGLISH = _words(
    """
    the a an and or is are am was were do does did have has had what which how much many price cost
    stock available i you we it my your can could will would please thanks thank hello hi hey good
    morning afternoon evening want need like buy order send pay not no yes yeah with without for of
    to in on at this that there any some one two three coffee tea bread milk sugar hot iced cheap
    recommend open close today tomorrow where when why who got sell about tell me speak human agent
    delivery deliver
    """
)
_WORD = re.compile(r"[a-z]+")


def choose_language(
    customer: str | None,
    recent: Iterable[str],
    shop: str,
    *,
    spoken: tuple[str, ...] = ("id", "en"),
) -> str:
    """The language a customer has set, else the one of what they wrote last, else the shop's.

    ``recent`` is what the customer wrote, the latest first; the first text that tells decides.
    """
    if customer in spoken:
        return customer
    for text in recent:
        if (heard := detect_language(text)) is not None:
            return heard
    return shop if shop in spoken else spoken[0]


def detect_language(text: str) -> str | None:
    """``id`` or ``en``; ``None`` when a text says too little ("ok", "2 americano")."""
    words = _WORD.findall(text.lower())
    indonesian = sum(word in _INDONESIAN for word in words)
    english = sum(word in _ENGLISH for word in words)
    if indonesian == english:
        return None
    return "id" if indonesian > english else "en"
