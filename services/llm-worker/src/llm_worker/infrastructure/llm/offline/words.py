"""What the offline model knows of Indonesian and English as people type them in a chat."""

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SLANG = {
    # Indonesian short forms
    "brp": "berapa", "brpa": "berapa", "brapa": "berapa", "brpn": "berapa", "berapaan": "berapa",
    "hrg": "harga", "hrga": "harga", "harganya": "harga", "hrgnya": "harga", "stoknya": "stok",
    "stock": "stok", "stocknya": "stok", "redy": "ready", "rdy": "ready", "redi": "ready",
    "ga": "tidak", "gak": "tidak", "gk": "tidak", "g": "tidak", "ngga": "tidak", "nggak": "tidak",
    "engga": "tidak", "enggak": "tidak", "tdk": "tidak", "tak": "tidak", "kagak": "tidak",
    "kaga": "tidak", "ndak": "tidak", "gada": "tidak ada", "gaada": "tidak ada", "nda": "tidak",
    "yg": "yang", "yng": "yang", "kk": "kak", "kaka": "kak", "kakak": "kak", "ka": "kak",
    "mksh": "makasih", "makasi": "makasih", "mksih": "makasih", "mks": "makasih",
    "trims": "makasih", "trimakasih": "makasih", "tq": "makasih", "tks": "makasih",
    "tengkyu": "makasih", "tengkiu": "makasih", "thx": "thanks", "thnx": "thanks", "ty": "thanks",
    "thankyou": "thanks", "tx": "thanks", "dgn": "dengan", "dg": "dengan", "bs": "bisa",
    "bsa": "bisa", "blh": "boleh", "mo": "mau", "mw": "mau", "mao": "mau", "pgn": "ingin",
    "pengen": "ingin", "pingin": "ingin", "pengin": "ingin", "kepengen": "ingin",
    "psn": "pesan", "psen": "pesan", "pesen": "pesan", "mesen": "pesan", "mesan": "pesan",
    "ad": "ada", "adakah": "ada", "ap": "apa", "apaan": "apa", "apakah": "apa", "aj": "saja",
    "aja": "saja", "sj": "saja", "doang": "saja", "skrg": "sekarang", "skrang": "sekarang",
    "jg": "juga", "tp": "tapi", "dmn": "di mana", "dimana": "di mana", "dmana": "di mana",
    "mn": "mana", "jm": "jam", "utk": "untuk", "buat": "untuk", "bwt": "untuk", "dr": "dari",
    "klo": "kalau", "kl": "kalau", "klu": "kalau", "kalo": "kalau", "klau": "kalau",
    "gmn": "bagaimana", "gmna": "bagaimana", "gimana": "bagaimana", "knp": "kenapa",
    "blm": "belum", "blom": "belum", "sdh": "sudah", "udh": "sudah", "udah": "sudah",
    "dah": "sudah", "lg": "lagi", "tlg": "tolong", "tlong": "tolong", "sm": "sama",
    "d": "di", "n": "dan", "nih": "ini", "jd": "jadi", "trs": "terus", "trus": "terus",
    "gw": "saya", "gue": "saya", "gua": "saya", "ane": "saya", "aku": "saya", "sy": "saya",
    "namaku": "nama saya", "lo": "kamu", "lu": "kamu", "bgt": "banget", "bgtt": "banget",
    "rekomen": "rekomendasi", "rekom": "rekomendasi", "rekomendasinya": "rekomendasi",
    "menunya": "menu", "alamatnya": "alamat", "lokasinya": "lokasi", "bukanya": "buka",
    "tutupnya": "tutup", "krm": "kirim", "dikirim": "kirim", "byr": "bayar", "bkn": "bukan",
    "mlm": "malam", "met": "selamat", "slmt": "selamat", "slamat": "selamat", "mba": "mbak",
    "assalamu'alaikum": "assalamualaikum", "asalamualaikum": "assalamualaikum",
    "samlekum": "assalamualaikum", "ass": "assalamualaikum", "aslm": "assalamualaikum",
    "hallo": "halo", "helo": "halo", "hlo": "halo", "alo": "halo", "haloo": "halo",
    "hai": "hai", "hei": "hai", "hy": "hai", "hay": "hai", "hii": "hi", "hei,": "hai",
    "moga": "semoga", "y": "ya", "yaa": "ya", "iy": "iya", "iyaa": "iya", "iyah": "iya",
    "okee": "oke", "okey": "oke", "okei": "oke", "okelah": "oke", "ok": "oke", "okay": "oke",
    # English short forms
    "ur": "your", "pls": "please", "plz": "please", "plss": "please", "wanna": "want to",
    "gimme": "give me", "u": "you", "r": "are", "whats": "what is", "what's": "what is",
    "wheres": "where is", "where's": "where is", "hows": "how is", "how's": "how is",
    "i'm": "i am", "im": "i am", "i'd": "i would", "id": "id", "i'll": "i will",
    "that's": "that is", "thats": "that is", "it's": "it is", "don't": "do not",
    "dont": "do not", "avail": "available", "rn": "now", "tmrw": "tomorrow", "n't": "not",
}  # fmt: skip
"""Short forms and the words they stand for."""

TYPO_TARGETS = (
    "berapa", "harga", "makasih", "selamat", "alamat", "lokasi", "pesan", "komplain",
    "rekomendasi", "tersedia", "katalog", "produk", "terima", "available", "address", "location",
    "recommend", "recommendation", "complaint", "thanks", "hello", "goodbye", "price", "opening",
    "delivery", "manusia", "bayar", "murah", "dingin", "panas", "sambungkan", "please", "admin",
)  # fmt: skip
"""Long words of intents that are worth mending; names of products are left to the catalogue's own
search, which knows the shop's words."""

INDONESIAN = _words(
    "halo hai pagi siang sore malam selamat assalamualaikum permisi kak mbak mas bang pak bu "
    "min ada apa saja yang berapa harga stok tidak mau ingin saya kami kamu anda ini itu di "
    "mana ke dari untuk dengan dan atau juga bisa boleh tolong minta lihat cari punya jual "
    "beli pesan makasih terima kasih sama ya iya oke dong sih deh kok nih lagi masih sudah "
    "belum jam buka tutup alamat lokasi sampai jumpa bukan kalau bagaimana kenapa siapa nama "
    "panggil orang manusia bicara ngobrol sambungkan komplain kecewa murah termurah paling "
    "enak rekomendasi kedua pertama ketiga nomor jualan hari besok sekarang antar kirim ongkir "
    "bayar pakai banget semua habis sisa tersedia bahasa baik jangan batal"
)
INDONESIAN_FOOD = _words(
    "dingin panas manis besar kecil kopi teh roti kue susu coklat keju pisang air minum "
    "minuman makan makanan"
)
ENGLISH = _words(
    "hello hi hey good morning afternoon evening what which who where when how much many is "
    "are the a an i you your we they do does have has any some of for me my it this that these "
    "those want would like to can could get please thanks thank see there price cost stock "
    "available open opening close hours address location human person someone talk speak "
    "complaint order buy take cheap cheapest and or with about tell more show recommend "
    "recommendation best yes no not sure name call goodbye bye second first third one left "
    "today tomorrow in english delivery deliver pay will give something anything"
)
ENGLISH_FOOD = _words(
    "cold hot iced sweet large small coffee tea bread cake milk chocolate cheese banana drink "
    "drinks food pastry pastries"
)

"""Food has its English and Indonesian names on the same menu: it tells the language only when
nothing else does."""

FILLER = _words(
    "kak mbak mas bang pak bu min gan sis om tante dek bro ya iya dong sih deh kok ini itu kan "
    "lah loh lho ada apa saja yang mau ingin saya kami kamu anda tolong minta lihat liat tanya "
    "nanya cari punya jual jualan beli pesan order untuk dengan di sini situ dari ke bisa "
    "boleh dapat berapa harga stok tidak masih sudah belum lagi juga tapi terus kalau jadi "
    "bagaimana sekarang hari toko tokonya kedai nya nyari nyobain coba banget sangat paling "
    "semua jenis macam macamnya pilihan varian variannya produk barang per satu sebuah buah "
    "porsi pcs biji bungkus gelas cup cangkir botol kotak yah eh oh hmm um wah nah aduh maaf "
    "permisi infonya info halo hai hi hello hey tersedia ready kah mana begitu seperti kayak "
    "mungkin lain lainnya selain enak enaknya oke sip siap nomor no tau tahu emang memang "
    "langsung dulu nanti besok pun para oleh adalah kakaknya kira-kira kira yuk ayo dikit "
    "sedikit banyak disini a an the i we you he she it they me my your our us do does did have "
    "has had any some of for is are was be been am what which who how much many want would "
    "like to can could get got please there here this that these those one ones with in on at "
    "by from about tell show give see look looking find need let know buy take will just also "
    "still not now today and or something anything else more other price prices cost stock "
    "available sell selling serve offer make kind kinds type types options shop store item "
    "items product products so left okay ok yes sure good great nice let's too if then but"
)
"""Words that never name a product, in either language."""

JOINERS = frozenset({"dan", "sama", "and", "plus", "atau", "or", ",", "&", "+"})

QUANTITIES = _words(
    "satu dua tiga empat lima enam tujuh delapan sembilan sepuluh sebiji setengah one two "
    "three four five six seven eight nine ten dozen lusin couple"
)

MODIFIERS = {
    "dingin": ("dingin", "ice", "iced", "es", "cold"),
    "es": ("dingin", "ice", "iced", "es", "cold"),
    "ice": ("dingin", "ice", "iced", "es", "cold"),
    "iced": ("dingin", "ice", "iced", "es", "cold"),
    "cold": ("dingin", "ice", "iced", "es", "cold"),
    "panas": ("panas", "hot", "hangat"),
    "hangat": ("panas", "hot", "hangat"),
    "hot": ("panas", "hot", "hangat"),
    "besar": ("besar", "large", "jumbo", "l"),
    "gede": ("besar", "large", "jumbo", "l"),
    "large": ("besar", "large", "jumbo", "l"),
    "kecil": ("kecil", "small", "mini", "regular", "s"),
    "small": ("kecil", "small", "mini", "regular", "s"),
    "manis": ("manis", "sweet", "gula"),
    "sweet": ("manis", "sweet", "gula"),
    "asin": ("asin", "savory", "gurih", "keju"),
    "gurih": ("gurih", "asin", "savory", "keju"),
    "savory": ("gurih", "asin", "savory", "keju"),
    "coklat": ("coklat", "cokelat", "chocolate", "choco"),
    "chocolate": ("coklat", "cokelat", "chocolate", "choco"),
    "keju": ("keju", "cheese"),
    "cheese": ("keju", "cheese"),
}
"""Words that narrow what was spoken of before, and how products say the same."""

ORDINALS = {
    "pertama": 1, "kesatu": 1, "kedua": 2, "ketiga": 3, "keempat": 4, "kelima": 5, "keenam": 6,
    "ketujuh": 7, "kedelapan": 8, "terakhir": -1, "first": 1, "second": 2, "third": 3,
    "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "last": -1,
}  # fmt: skip

CHEAP = _words("murah termurah cheap cheapest affordable terjangkau")

EMOJI = re.compile(r"[\U0001F000-\U0001FAFF\u2190-\u2BFF\uFE0F\u200D]+")
