"""The things customers write about, and the phrases that give each away.

Phrases are matched against the words that `normalise` made: lower case, without slang and signs.
"""

import re
from enum import StrEnum


class Intent(StrEnum):
    GREETING = "greeting"
    THANKS = "thanks"
    GOODBYE = "goodbye"
    YES = "yes"
    NO = "no"
    PERSON = "person"
    COMPLAINT = "complaint"
    BROWSE = "browse"
    """What is there at all?"""
    SEARCH = "search"
    RECOMMEND = "recommend"
    PRICE = "price"
    STOCK = "stock"
    DETAILS = "details"
    ORDER = "order"
    ORDER_STATUS = "order_status"
    HOURS = "hours"
    ADDRESS = "address"
    DELIVERY = "delivery"
    PAYMENT = "payment"
    PROMO = "promo"
    PROFILE_CHANGE = "profile_change"
    PROFILE_QUESTION = "profile_question"
    WHO = "who"
    MEDIA = "media"
    """A picture, a voice message, a file: something this model cannot see."""
    LOCATION = "location"
    STICKER = "sticker"
    OFF_TOPIC = "off_topic"
    UNKNOWN = "unknown"


PRODUCT_INTENTS = frozenset(
    {
        Intent.BROWSE,
        Intent.SEARCH,
        Intent.RECOMMEND,
        Intent.PRICE,
        Intent.STOCK,
        Intent.DETAILS,
        Intent.ORDER,
    }
)

_YOU = r"(?: (?:kak|mbak|mas|bang|pak|bu|min|dong|ya|deh|sih|please|semua|there|all|gan|sis|lah))*"
_PEOPLE = (
    r"(?:manusia|orang|admin|cs|staf|staff|customer service|human|person|agent|agen|someone"
    r"|owner|pemilik|penjual|kasir|operator|people|representative|pegawai|karyawan)"
)
_SHOP = r"(?:toko|kedai|lokasi|alamat|tempat|posisi)"


def _phrases(*alternatives: str) -> re.Pattern[str]:
    """Whole words only."""
    return re.compile("|".join(rf"(?<!\S)(?:{each})(?!\S)" for each in alternatives))


PATTERNS: tuple[tuple[Intent, re.Pattern[str]], ...] = (
    (
        Intent.WHO,
        _phrases(
            rf"(?:ini|kamu|anda) (?:siapa|bot|robot|ai|{_PEOPLE} atau bot)(?: ya)?",
            r"(?:siapa|who) (?:ini|kamu|anda|are you|is this)",
            r"are you (?:a |an )?(?:bot|robot|ai|human|real(?: person)?|person)",
            rf"ini (?:dengan )?(?:{_PEOPLE}|bot)(?: asli)? (?:atau|apa|ya|kah)(?: bot| robot)?",
            r"bot (?:ya|kah|bukan)",
        ),
    ),
    (
        Intent.PERSON,
        _phrases(
            r"(?:bicara|ngobrol|ngomong|chat|hubungi|hubungkan|sambungkan|kontak|panggilkan"
            rf"|connect|talk|speak|transfer|contact|reach)(?: \S+){{0,4}}? {_PEOPLE}(?:nya)?",
            r"(?:minta|mau|butuh|need|want|get)"
            rf"(?: (?:ke|sama|dengan|a|an|to|me|langsung|real))* {_PEOPLE}(?:nya)?",
            r"customer service|real person|human(?: please)?|live agent",
            r"(?:admin|cs|operator)(?:nya)?(?: (?:dong|please|mana|ada))*",
            r"jangan bot|bukan bot|(?:tidak|no|not) (?:mau )?(?:a )?bot",
        ),
    ),
    (
        Intent.COMPLAINT,
        _phrases(
            r"komplain(?:nya)?|complain|complaint|lapor|laporkan|kecewa|mengecewakan|disappointed",
            r"refund|uang(?:nya)? kembali|kembalikan uang|balikin uang|money back",
            r"penipu(?:an)?|scam|sudah basi|keracunan|barang(?:nya)? rusak",
            r"(?:pesanan|orderan|order|kue|roti|kopi|paket)(?: ?nya)?(?: saya)? (?:salah|kurang"
            r"|rusak|basi|tumpah|bocor|hancur|penyok|tidak (?:sesuai|lengkap)"
            r"|belum (?:sampai|datang))",
            r"salah (?:kirim|pesanan|order|barang)|pelayanan buruk|lama banget|jelek banget",
            r"wrong (?:order|item)|(?:never|not|hasn't|did not) arrived?|stale|spoiled|broken"
            r"|damaged|terrible|awful|horrible",
        ),
    ),
    (
        Intent.ORDER_STATUS,
        _phrases(
            r"(?:status|cek|check|lacak|track)(?: \S+)? (?:pesanan|orderan|order|paket)(?: saya)?",
            r"(?:pesanan|orderan|paket)(?:nya)?(?: saya)?"
            r" (?:sudah|sampai|di mana|mana|kapan|bagaimana)(?: \S+)?",
            r"(?:pesanan|orderan) saya|where is my (?:order|package)|my order",
            r"batal(?:kan)? (?:pesanan|order(?:an)?)|cancel(?: my)? order",
        ),
    ),
    (
        Intent.PROFILE_QUESTION,
        _phrases(
            r"nama saya (?:siapa|apa)|siapa nama saya|what is my name",
            r"(?:apa )?(?:alamat|data|profil) saya"
            r" (?:apa|di mana|yang (?:terdaftar|tersimpan)(?: apa)?)",
            r"(?:cek|lihat) (?:alamat|data|profil) saya|what is my address|my (?:profile|details)",
            r"(?:do you )?(?:know|remember) (?:me|my name|my address)",
            r"(?:masih )?(?:ingat|kenal) saya",
        ),
    ),
    (
        Intent.HOURS,
        _phrases(
            r"jam (?:buka|tutup|operasional|kerja|berapa(?: sampai jam berapa)?)(?: berapa)?"
            r"(?: \S+)?",
            r"(?:masih |sudah |apa )?(?:buka|tutup) (?:jam|sampai|hari|dari|kapan|tidak|sekarang"
            r"|besok|minggu|sabtu|terus|nya)(?: \S+){0,3}",
            r"(?:masih |sudah )(?:buka|tutup)",
            r"(?:hari ini|besok|sekarang)(?: masih)? (?:buka|tutup)(?: tidak)?",
            r"(?:toko|kedai)(?:nya)? (?:buka|tutup)(?: tidak)?|buka",
            r"(?:opening|business|store|shop|operating|your) hours|closing time",
            r"what time (?:do|are|is|does)(?: \S+){0,3}",
            r"(?:are|is|when are|when do)(?: \S+){1,2} (?:open|close|closed)(?: \S+){0,2}",
            r"open (?:today|now|until|till|on|tomorrow)(?: \S+)?",
        ),
    ),
    (
        Intent.ADDRESS,
        _phrases(
            r"(?:alamat|lokasi|location|address)"
            r"(?: (?:toko|kedai|lengkap|kamu|kalian|of your shop))?(?: (?:di mana|mana|apa))?",
            r"(?:toko|kedai|posisi|tempat|kalian|cabang)(?:nya)?(?: \S+)? di mana|cabang(?:nya)?",
            rf"di mana(?: {_SHOP}(?:nya)?)?|google maps?|gmaps|maps?",
            r"share ?loc(?:k|ation)?|located|how (?:do i|can i|to) (?:get|go) there",
            r"where (?:are you|is (?:the|your) (?:shop|store|place|cafe))(?: located)?",
        ),
    ),
    (
        Intent.DELIVERY,
        _phrases(
            r"(?:berapa )?(?:ongkir|ongkos kirim|biaya kirim)(?:nya)?(?: ke(?: \S+){1,2}?)?"
            r"(?: berapa)?",
            r"(?:bisa |boleh )?(?:di)?(?:antar|anter)(?:kan|in)?(?: ke(?: \S+){1,2})?",
            r"(?:bisa )?kirim(?: ke(?: \S+){1,2})?|pengiriman|shipping|kurir|courier",
            r"deliver(?:y)?(?: to(?: \S+){1,2})?|gofood|go-food|grabfood|shopeefood|gosend",
        ),
    ),
    (
        Intent.PAYMENT,
        _phrases(
            r"(?:cara )?(?:bayar|pembayaran)(?:nya)?(?: (?:pakai|lewat|via|dengan|bagaimana))*"
            r"(?: \S+)?",
            r"(?:pakai |lewat |via |bisa )?(?:qris|transfer|gopay|ovo|dana|shopeepay|cash|tunai"
            r"|debit|cod|kartu kredit|credit card|rekening)",
            r"pay(?: (?:by|with|using|via))?(?: \S+)?|payment(?: methods?| options?)?",
            r"how (?:do|can) i pay",
        ),
    ),
    (
        Intent.PROMO,
        _phrases(
            r"promo(?:nya|si)?|diskon(?:nya)?|discounts?|potongan(?: harga)?|voucher|kupon|coupon",
            r"cashback|on sale|special offers?|any deals?|boleh kurang|bisa kurang|nego",
        ),
    ),
    (
        Intent.THANKS,
        _phrases(
            r"(?:makasih|terima kasih|terimakasih|thanks|thank you|hatur nuhun|nuhun|matur suwun"
            r"|suwun)(?: (?:banyak|banget|so much|a lot|very much|you|infonya|info|ya))*" + _YOU
        ),
    ),
    (
        Intent.GOODBYE,
        _phrases(
            r"(?:dadah|bye(?:-?bye)?|goodbye|good bye|sampai jumpa|sampai ketemu|see you|cya"
            r"|good night)(?: (?:lagi|later|soon|tomorrow|besok))*" + _YOU
        ),
    ),
    (
        Intent.RECOMMEND,
        _phrases(
            r"(?:ada |kasih |minta |your )?(?:rekomendasi(?:in|kan)?|recommend(?:ation)?s?"
            r"|saran(?:in|kan)?|suggest(?:ion)?s?)"
            r"(?: (?:menu|apa|dong|ya|some|something|anything))*",
            r"best ?-?sellers?|terlaris|paling (?:laku|laris|enak|favorit|populer)|andalan(?:nya)?",
            r"favorit(?:nya)?|favou?rites?|most popular|popular|signature",
            r"enaknya(?: \S+)? apa|apa(?: yang)? enak|yang enak(?: apa)?|what is good",
            r"what do you recommend",
        ),
    ),
    (
        Intent.ORDER,
        _phrases(
            r"(?:(?:mau|ingin|boleh|bisa|saya) )*"
            r"(?:pesan|order|beli|checkout|ambil|booking)(?:kan|in)?",
            r"(?:i )?(?:want|would like|like) to (?:order|buy|get)",
            r"i would like(?= \d| one | two | three | a dozen )",
            r"(?:can|could|may) (?:i|we) (?:order|buy|get|have)|i will (?:take|have|get)",
            r"(?:place|make) an order|give me|buy|take",
        ),
    ),
    (
        Intent.STOCK,
        _phrases(
            r"(?:sisa )?stok(?: (?:masih|ada|berapa|ready|tersedia|sisa))*",
            r"(?:apa |is |are )?(?:masih ada|masih ready|ready|tersedia|in stok|out of stok"
            r"|available|sold out|masih sisa|sisa|sudah habis|habis)"
            r"(?: (?:stok|tidak|berapa))*",
            r"left|remaining",
        ),
    ),
    (
        Intent.PRICE,
        _phrases(
            r"(?:harga )?berapa(?: (?:harga|duit|ya|sih|rupiah))*|daftar harga|price list|harga",
            r"how much(?: (?:is|are|does|do|for))?(?: the| a| it| they)?(?: cost)?",
            r"prices?|costs?",
        ),
    ),
    (
        Intent.DETAILS,
        _phrases(
            r"(?:itu|ini) apa|apa itu|apa sih|terbuat dari(?: apa)?|deskripsi(?:nya)?",
            r"(?:isi|bahan|komposisi|rasa|ukuran|kandungan)(?:nya)?"
            r"(?: apa(?: saja)?| bagaimana| seperti apa)?",
            r"(?:lihat |minta )?detail(?:nya|s)?",
            r"(?:tolong )?(?:jelaskan|jelasin|ceritakan|ceritain)",
            r"tell me (?:more )?about|more about|what is in|ingredients?|describe|made of",
            r"what is(?= \S+)(?! on)|halal(?: tidak)?|alergi|allerg\S+",
        ),
    ),
    (
        Intent.BROWSE,
        _phrases(
            r"(?:lihat |minta |ada |boleh |cek |daftar |semua |the |your |see |full )*"
            r"(?:menu|katalog|catalog|catalogue|produk|products|item list)(?:nya)?"
            r"(?: (?:apa saja|nya|lengkap|list|please))*",
            r"(?:jual|punya|ada|jualan|tersedia)(?:nya)? apa(?: saja)?"
            r"(?: (?:di sini|kak|ya|nih))*",
            r"apa saja(?: yang)?(?: (?:ada|dijual|tersedia|kamu jual))?",
            r"what (?:else )?(?:do|can) you (?:have|sell|offer|serve|got)",
            r"what (?:have you got|is available)|what is on (?:the|your) menu",
            r"show me (?:everything|what you have)|see everything",
        ),
    ),
    (
        Intent.OFF_TOPIC,
        _phrases(
            r"(?:ignore|abaikan|lupakan)(?: \S+){0,4} (?:instructions?|instruksi|perintah|aturan"
            r"|rules|prompt)(?:\s.*)?",
            r"system prompt|prompt(?:mu)?|jailbreak|act as(?: \S+)*|pura-pura(?: \S+)*",
            r"(?:siapa|kenapa|mengapa|why|who|when)(?: \S+)+",
            r"(?:tulis|tuliskan|buatkan|bikinin|write|compose|translate|terjemahkan|code|coding"
            r"|hitung|calculate)(?: \S+)+",
            r"(?:puisi|pantun|lelucon|joke|cerita lucu|cuaca|weather|politik|pacar|jodoh|berita"
            r"|news|bitcoin|saham)(?: \S+)*",
        ),
    ),
    (
        Intent.GREETING,
        _phrases(
            r"(?:halo|hai|hi|hello|hey|assalamualaikum|permisi|punten|p|ping|test|tes)" + _YOU,
            r"selamat (?:pagi|siang|sore|malam)" + _YOU,
            r"good (?:morning|afternoon|evening|day)" + _YOU,
            r"(?:apa kabar|how are you|how is it going|what is up)" + _YOU,
            r"^(?:pagi|siang|sore|malam)" + _YOU,
        ),
    ),
)
"""In the order of looking: what one phrase took is gone when the next is tried."""

YES = re.compile(
    r"(?:ya|iya|yes|yup|yap|yep|yoi|boleh|oke|sip|siap|baik|mau|betul|benar|sure|please|lanjut|deal"
    r"|gas|of course|yes please|go ahead|tentu|setuju)(?: (?:boleh|mau|betul|oke|tolong))*" + _YOU
)
NO = re.compile(
    r"(?:tidak|no|nope|jangan|batal|belum|cukup|nanti|no need|not now|tidak usah|tidak jadi"
    r"|tidak perlu|nanti (?:saja|dulu)|belum dulu|itu saja|that is all|nothing else|no thanks)"
    r"(?: (?:dulu|saja|thanks|makasih|usah|perlu))*" + _YOU
)
ATTACHED = re.compile(r"\s*\[(?P<kind>[a-z ]{3,20})(?::[^\]]*)?\]")
"""How code describes what was sent with a text, or instead of one."""
