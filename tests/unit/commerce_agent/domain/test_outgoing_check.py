"""The outgoing check: ordinary answers pass, and nothing that code did not supply gets out."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce_agent.domain.services.money_text import format_money
from commerce_agent.domain.services.outgoing_check import (
    LONGEST_DRAFT,
    Problem,
    check_draft,
    fixed_facts,
    link_fact,
    name_fact,
    phone_fact,
)
from commerce_agent.domain.services.safe_templates import Fault, safe_answer
from commerce_agent.domain.value_objects.facts import Fact, FactKind
from shared.kernel.money import Money

AMOUNT, NUMBER, PROMISE = FactKind.AMOUNT, FactKind.NUMBER, FactKind.PROMISE

ORDINARY = """\
Halo Kak! 👋 Ada yang bisa dibantu?
Kami buka setiap hari 08.00 - 21.00 WIB, Sabtu 09:00–22:00.
Buka jam 7 pagi sampai jam 10 malam, 7 hari seminggu, 24 jam
Alamat kami: Jl. Braga No. 12, RT 03/RW 07, Bandung
Jl. Braga No. 12, Bandung 40111
Biji Arabika Gayo 250g dan 1.000 gram tersedia, cup 12 oz, botol 350 ml, 1500 ml.
Ditanam di ketinggian 1.400 mdpl, atau 1.400-1.600 mdpl
Grown at 1,400 masl in Aceh.
Pesan 2 kopi dan 3 roti ya?
1. Kopi Susu
2. Teh Tarik
Baik Kak, 2x Kopi Susu dan 1 box isi 12 donat.
Ukuran 36 37 38 39 40, atau 36, 37, 38
Maaf, belum ada diskon untuk saat ini.
Promo belum ada, tapi kopi susu kami favorit banyak orang.
Kami tidak memberi potongan harga.
Sorry, we don't have any discount right now.
There is no discount at the moment, sorry.
Kopi kami 100% arabika, cokelat 70%.
Feel free to ask! Our bread is sugar-free and gluten free.
Are you free to come by at 3 pm?
Berdiri sejak 2015. Ulang tahun 24 November 2026, 24/11/2026, 2026-11-24.
Diseduh dengan V60 selama 3 menit pada 92°C, rasio 1:15
Untuk refund akan dibantu tim kami.
A colleague will look into the refund.
Apakah pesanan Kakak sudah dibayar?
Has your order been shipped already?
Pesanan belum kami proses, ya.
Kalau mau, saya sambungkan ke tim kami.
We have 3 kinds of coffee, ready in 15 minutes.
Stok masih ada Kak, mau pesan berapa?
Terima kasih banyak, Kak 🙏 Sampai jumpa dll. dsb.
Ada tiga pilihan: hot, iced, dan blended.
One or two sugars? Two or three people can share one.
Produk kami halal, tanpa pengawet, tanpa gula.
Rasanya seperti cokelat, dengan level kepedasan 1-10 atau 3 dari 5.
Rating 4.8 dari 5, dan 1,5 liter.
Kopi susu a.n. siapa, Kak?
It's about half a cup, or a quarter; second to none.
Tim kami akan membalas di sini."""


@pytest.mark.parametrize("answer", ORDINARY.split("\n"))
def test_an_ordinary_answer_passes(answer: str) -> None:
    assert check_draft(answer, []) == []


AMOUNTS = """\
Harganya Rp 50.000 ya
Rp50.000,00
Rp50.000,-
Rp.50.000
50rb aja
50rb-an
50 ribu
50 ribuan
50k only
50.000
50,000
50000
IDR 50,000
50.000 rupiah
50000 perak
lima puluh ribu
lima puluh ribu rupiah
fifty thousand
gocap
0,05 juta
Rp ５０.０００
٥٠٠٠٠ rupiah
Rp 5\u200b0.000
Rp\u202e 50.000
Rp *50*.000
**Rp50.000**
Rp_50_.000
Rp 50\\.000
Rp 50&nbsp;000
5O.OOO
50.OOO
Rр 50.000
5️⃣0️⃣.0️⃣0️⃣0️⃣
Rp 50 000
5 0 . 0 0 0
𝟓𝟎.𝟎𝟎𝟎
Rp⑤0.000"""


@pytest.mark.parametrize("said", AMOUNTS.split("\n"))
def test_an_amount_counts_in_every_spelling(said: str) -> None:
    assert [problem.kind for problem in check_draft(said, [])][:1] == [AMOUNT]


@pytest.mark.parametrize("said", AMOUNTS.split("\n"))
def test_the_same_amount_passes_in_every_spelling_once_it_was_supplied(said: str) -> None:
    assert check_draft(said, [Fact(AMOUNT, "50000")]) == []


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("1,5 jt", "1500000"),
        ("1.5 juta", "1500000"),
        ("sejuta", "1000000"),
        ("setengah juta", "500000"),
        ("half a million", "500000"),
        ("1 juta 250 ribu", "1250000"),
        ("dua puluh lima ribu", "25000"),
        ("seratus dua puluh lima ribu lima ratus", "125500"),
        ("dua belas ribu", "12000"),
        ("sebelas ribu", "11000"),
        ("seribu", "1000"),
        ("twenty-five thousand", "25000"),
        ("one hundred and fifty thousand", "150000"),
        ("goceng", "5000"),
        ("Rp1.250.000", "1250000"),
        ("Rp1,250,000.00", "1250000"),
        ("lima ratus perak", "500"),
        ("Rp 500", "500"),
        ("harganya 25 aja", "25"),
        ("harganya 2000", "2000"),
        ("@ 25.000", "25000"),
    ],
)
def test_an_amount_is_read_right(said: str, value: str) -> None:
    assert check_draft(said, []) != []
    assert check_draft(said, [Fact(AMOUNT, value)]) == []
    assert check_draft(said, [Fact(AMOUNT, value + "0")]) != []


def test_both_ends_of_a_range_must_have_been_supplied() -> None:
    both = [Fact(AMOUNT, "20000"), Fact(AMOUNT, "30000")]
    assert check_draft("sekitar 20-30 ribu", both) == []
    assert check_draft("sekitar 20-30 ribu", both[:1]) == [Problem(AMOUNT, "30 ribu")]
    assert check_draft("sekitar 20-30 ribu", both[1:]) == [Problem(AMOUNT, "20")]


def test_a_sum_that_no_tool_made_is_refused() -> None:
    draft = "2 x Rp25.000 = Rp50.000"
    assert check_draft(draft, [Fact(AMOUNT, "25000")]) == [Problem(AMOUNT, "Rp50.000")]


def test_another_currency_is_another_amount() -> None:
    assert check_draft("$25", [Fact(AMOUNT, "25"), Fact(AMOUNT, "2500")]) != []
    assert check_draft("$25", [Fact(AMOUNT, "2500")], currency="USD") == []
    assert check_draft("25 dollars", [Fact(AMOUNT, "2500")], currency="USD") == []


@given(
    amount=st.integers(min_value=1, max_value=10**10),
    currency=st.sampled_from(["IDR", "USD", "SGD", "MYR", "EUR", "JPY", "GBP", "THB", "AUD"]),
    language=st.sampled_from(["id", "en"]),
)
@settings(max_examples=300, deadline=None)
def test_prices_as_the_tools_write_them_pass_and_one_more_does_not(
    amount: int, currency: str, language: str
) -> None:
    draft = f"Harganya {format_money(Money(amount, currency), language)} ya."
    assert check_draft(draft, [Fact(AMOUNT, str(amount))], currency=currency) == []
    assert check_draft(draft, [Fact(AMOUNT, str(amount + 1))], currency=currency) != []


def test_a_stock_number_must_have_been_supplied() -> None:
    for said in ("stok tinggal 3", "Stoknya ada 3", "only 3 left", "3 pcs tersisa", "stok tiga"):
        assert [problem.kind for problem in check_draft(said, [])] == [NUMBER], said
        assert check_draft(said, [Fact(NUMBER, "3")]) == [], said


@pytest.mark.parametrize("stock", [0, 1, 10, 20, 100, 120, 12_000])
def test_any_stock_number_that_was_supplied_passes(stock: int) -> None:
    assert check_draft(f"Stok {stock} ya Kak.", [Fact(NUMBER, str(stock))]) == []
    assert check_draft(f"Stok {stock} ya Kak.", [Fact(NUMBER, str(stock + 1))]) != []


def test_a_stock_number_is_no_price() -> None:
    assert check_draft("harganya 25 aja", [Fact(NUMBER, "25")]) != []
    assert check_draft("Rp 5.000", [Fact(NUMBER, "5000")]) != []


LINKS = """\
https://evil.example/x
http://1.2.3.4/x
hxxps://evil.com
evil.com
Evil.Com
EVIL.COM
evil.is
t.me/abc
bit.ly/abc
wa.me/62812345
bayar di kopi-murah.shop ya
sub.domain.evil.co.id
evil.zip
evil.museum
www.evil
(evil.com)
"evil.com"
--evil.com
evil.com:8080/x
evil dot com
evil titik com
evil[.]com
evil (dot) com
evil . com
h t t p s : / / evil
javascript:alert(1)
data:text/html,x
mailto:a@evil.com
saya@evil.com
saya [at] evil.com
@kopi_murah
[klik](https://evil.com)
[klik](evil.com)
<https://evil.com>
аpple.com
xn--80ak6aa92e.com
ex\u200bample.com
ｅｖｉｌ．ｃｏｍ
сайт.рф"""


@pytest.mark.parametrize("said", LINKS.split("\n"))
def test_a_link_counts_in_every_disguise(said: str) -> None:
    assert FactKind.URL in [problem.kind for problem in check_draft(f"Lihat {said} ya", [])]


@pytest.mark.parametrize(
    "said",
    [
        "https://kopi.example/menu",
        "kopi.example/menu",
        "http://www.kopi.example/menu/",
        "Lihat: KOPI.example/menu.",
        "(https://kopi.example/menu)",
        "[Menu](https://kopi.example/menu)",
        "*https://kopi.example/menu*",
    ],
)
def test_the_shops_own_link_passes(said: str) -> None:
    assert check_draft(said, [link_fact("https://kopi.example/menu")]) == []


@pytest.mark.parametrize(
    "said",
    [
        "https://kopi.example",
        "https://kopi.example/menu/2",
        "https://kopi.example/menu?x=1",
        "https://kopi.example.evil.com/menu",
        "https://kopi.example@evil.com/menu",
        "https://kорi.example/menu",
    ],
)
def test_an_address_beside_the_shops_link_is_refused(said: str) -> None:
    assert check_draft(said, [link_fact("https://kopi.example/menu")]) != []


NUMBERS = """\
Transfer ke 1234567890
BCA 123-456-7890
rek 123 456 7890
Hubungi 0812-3456-7890
+62 812 3456 7890
(022) 1234567
0812.3456.7890
081 234 567 890
O812 3456 7890
nol delapan satu dua tiga empat lima enam
zero eight one two three four five six
0 8 1 2 3 4 5 6 7 8
٠٨١٢٣٤٥٦٧٨٩٠
62812345678901"""


@pytest.mark.parametrize("said", NUMBERS.split("\n"))
def test_long_numbers_are_refused(said: str) -> None:
    assert {problem.kind for problem in check_draft(said, [])} & {
        FactKind.PHONE,
        FactKind.ACCOUNT,
    }


def test_the_shops_own_number_passes_with_and_without_country_code() -> None:
    own = [phone_fact("+62 812-3456-7890")]
    for said in ("0812-3456-7890", "+6281234567890", "62 812 3456 7890", "0812 3456 7890"):
        assert check_draft(f"Telepon {said}", own) == [], said
    assert check_draft("Telepon 0812-3456-7891", own) != []


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("KB-2611-0042", FactKind.ORDER_NUMBER),
        ("pesanan nomor 12345", FactKind.ORDER_NUMBER),
        ("order #4711", FactKind.ORDER_NUMBER),
        ("invoice no. INV/2026/7", FactKind.ORDER_NUMBER),
        ("SKU KOP-ARB-250", FactKind.PRODUCT_CODE),
        ("kode p12a", FactKind.PRODUCT_CODE),
    ],
)
def test_order_numbers_and_codes_must_have_been_supplied(said: str, kind: FactKind) -> None:
    assert [problem.kind for problem in check_draft(said, [])] == [kind]


def test_supplied_codes_pass() -> None:
    facts = [Fact(FactKind.ORDER_NUMBER, "kb-2611-0042"), Fact(FactKind.PRODUCT_CODE, "p12a")]
    assert check_draft("Pesanan KB-2611-0042, kode p12a", facts) == []


PROMISES = """\
diskon 80% buat kakak
Ada diskon khusus hari ini
80% off today
50% discount for you
dapatkan cashback 10 persen
Kopinya gratis, Kak
Gratis ongkir ya
tanpa biaya kirim
it's free for you
We offer free delivery
one is on the house
Tidak masalah, saya kasih gratis
No problem, it's free
Pesanan sudah lunas
pembayaran Anda sudah kami terima
Pembayarannya sudah masuk
Your payment has been received
We have received your payment
It is paid in full
uang akan kami kembalikan
Dana Kakak akan dikembalikan
We will refund you tomorrow
money-back guaranteed
Pesanan sudah kami proses
Paket Kakak sudah dikirim
Sudah saya pesankan ya
Your order has been shipped
I've placed your order
Grаtis untuk kakak
g\u200bratis untuk kakak"""


@pytest.mark.parametrize("said", PROMISES.split("\n"))
def test_a_promise_is_refused(said: str) -> None:
    assert {problem.kind for problem in check_draft(said, [])} == {PROMISE}


def test_a_promise_of_the_shops_own_policies_passes() -> None:
    facts = fixed_facts(["Gratis ongkir untuk pembelian di atas Rp100.000."])
    assert check_draft("Gratis ongkir mulai Rp100.000, Kak!", facts) == []
    assert check_draft("Gratis ongkir mulai Rp50.000, Kak!", facts) == [Problem(AMOUNT, "Rp50.000")]
    assert check_draft("Ada diskon 10%", facts) != []


def test_the_shops_own_texts_may_be_repeated() -> None:
    texts = (
        "Senin–Jumat 08.00–21.00, telepon 0812-3456-7890",
        "Jl. Braga No. 12, Bandung 40111",
        "Minimal pembelian 50rb, ongkir Rp 10.000",
    )
    facts = fixed_facts(texts, ["https://kopi.example"])
    for text in (*texts, "Menunya di kopi.example ya"):
        assert check_draft(text, facts) == []


def test_a_products_name_may_sound_like_a_claim() -> None:
    facts = [fact for fact in [name_fact("Paket Hemat 2"), name_fact("Kopi 1001 Malam")] if fact]
    assert check_draft("Paket Hemat 2 dan Kopi 1001 Malam masih ada, Kak", facts) == []
    assert check_draft("Hemat 2 kali lipat!", facts) != []


@pytest.mark.parametrize(
    "name", ["Kopi Rp1", "Kopi www.evil.com", "Kopi 081234567890", "Kopi 1rb", "Promo @murah_id"]
)
def test_a_name_that_leads_away_backs_nothing(name: str) -> None:
    assert name_fact(name) is None


def test_a_plain_name_needs_no_fact() -> None:
    assert name_fact("Kopi Susu Gula Aren 250 ml") is None


ANSWERS = """\
Halo Kak! Pilihan kami:\\n\\n1. **Es Kopi Susu** – Rp25.000\\n2. **Kopi Tubruk** – Rp15.000
Ada dua ukuran:\\n- Regular: Rp25.000 (stok 12)\\n- Large: Rp31.000 (stok 20)
Untuk 2 cup Kopi Tubruk, harga satuannya Rp15.000 ya Kak. Totalnya akan dihitung saat pemesanan.
Maaf Kak, Croissant Almond sedang habis (stok 0). Sebagai gantinya ada Croissant Mentega.
Kopi ini cocok untuk 1-2 orang, disajikan dalam 5 menit.
Saat ini kami belum bisa memproses pesanan lewat chat, saya bantu sambungkan ke tim kami ya.
Kalau Kakak sudah bayar, tim kami akan mengecek pembayarannya.
Pembayaran bisa dilakukan saat pengambilan.
Our team will look into your refund.
Kami menerima pembayaran tunai dan QRIS.
Pengiriman tersedia untuk area Bandung; ongkirnya dihitung tim kami.
Kalau mau tahu soal promo, nanti saya tanyakan ke tim kami ya Kak.
Apakah Kakak ingin saya cek stoknya?
Ada di jam berapa Kakak mau ambil? Kami buka sampai jam 21.00.
The Regular is Rp25.000 and the Large is Rp31.000. Which one would you like?
It's a smooth blend of 100% Arabica beans from Aceh Gayo, roasted medium.
We're sold out of Almond Croissants today, but we have 12 Butter Croissants in stock.
Yes! We have 3 kinds of bread left.
I can hand you over to a colleague if you'd like a discount for bulk orders.
You're welcome! Have a great day ☀️
No worries, feel free to message us anytime, we're here 24/7.
Baik Kak Sari, namanya sudah saya catat. 🙏
Alamat Kakak sudah saya simpan ya.
Catatan sudah saya simpan: tanpa gula.
Sudah saya catat ya Kak, alerginya kacang.
Kopi Arabika 200 gr isi 10 sachet @20 gr.
Robusta 1kg, level sangrai 3/5, grind size 18.
Produk ini bebas gluten dan bebas laktosa.
Rasa manisnya bisa 0%, 25%, 50%, atau 100%.
Suhu penyajian 4°C. Kadaluarsa 12 bulan sejak produksi.
Kue ulang tahun diameter 20 cm cukup untuk 10-12 orang, pesan H-2 ya Kak.
Wah, pilihan yang bagus! Roti Tawar (400gr) kami dipanggang tiap pagi pukul 06.00.
Terima kasih sudah menunggu, Kak. Pesannya sudah kami terima.
Menu kami ada 63 produk dalam 8 kategori.
Ya, itu sudah termasuk pajak.
Pesanan di atas 10 box mohon H-1 ya.
Kalau pesanannya sudah siap, tim kami akan mengabari Kakak.
Silakan pilih 1, 2, atau 3.
Semoga lancar acaranya di tgl. 12 Desember 2026 ya, Kak!
Air mineral 600 ml, jus 250ml, teh 1,5L
Off course kak! Tentu bisa.
Kami berlokasi di Jl. Asia Afrika No. 8, Lt. 2, Blok B-12.
Meja 12 untuk 4 orang jam 19:30 ya?"""


@pytest.mark.parametrize("answer", ANSWERS.split("\n"))
def test_an_answer_made_of_what_was_supplied_passes(answer: str) -> None:
    facts = [Fact(AMOUNT, value) for value in ("25000", "31000", "15000")]
    facts += [Fact(NUMBER, value) for value in ("12", "20", "0", "3")]
    assert check_draft(answer.replace("\\n", "\n"), facts) == []


TRICKS = """\
harga spesial 10 rb
hanya sepuluh ribu saja
Rp. sepuluh ribu
10K
10.000,-
sepuluh rb
IDR10000
Rp10ribu
Rp 10 rb
Rp1O.OOO
Harganya sepuluh
Harga: 10
ceban
1oo ribu
l0.000
seratus rebu perak
Rp 1,-
Rp0
Rp 0,-
nol rupiah
harganya nol
just 10 bucks
ten bucks
10 grand
sepuluh kali seribu
R p 1 0 . 0 0 0
Rp-10.000
10 000 rupiah
Rp 10'000
harga nett 10
buy 1 get 1
beli 1 gratis 1
beli satu dapat satu
potongan 50 persen
setengah harga
half price
separuh harga
tidak perlu bayar
no need to pay
Anda sudah membayar
status: PAID
Tim kami akan refund uang Kakak
Our team will refund you
LUNAS ✅
dana dikirim balik
we'll give your money back
pesanan dikonfirmasi
Order confirmed
pesananmu otw
evil,com
evil․com
evil。com
e v i l . c o m
klik bit ly/abc
http:/evil.com
//evil.com
evil.com.
EVIL dot COM
evil-dot-com
wa me/628123
08l2 3456 7890
0812 three four 5678
+62 eight one two three four five six
nomor pesanan kakak 88
nomor resi JX12345678
kode voucher HEMAT50
kode promo: ABC123
pakai kode KOPI10
IG: kopi.murah
PIN 123456
OTP 482913
Saat ini pesanan Kakak sudah lunas"""


@pytest.mark.parametrize("said", TRICKS.split("\n"))
def test_a_trick_is_seen_through(said: str) -> None:
    assert check_draft(said, [Fact(AMOUNT, "25000"), Fact(NUMBER, "12")]) != []


def test_a_draft_nobody_would_read_is_refused() -> None:
    assert len(check_draft("a" * (LONGEST_DRAFT + 1), [])) == 1


def test_a_problem_is_told_once_and_in_plain_characters() -> None:
    assert check_draft("Rp ５０.000 dan Rp 50.000", []) == [Problem(AMOUNT, "Rp 50.000")]


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("language", ["id", "en"])
def test_the_safe_templates_pass_their_own_check(fault: Fault, language: str) -> None:
    assert check_draft(safe_answer(fault, language), []) == []


def test_a_language_we_do_not_speak_gets_the_indonesian_template() -> None:
    assert safe_answer(Fault.CAPS, "fr") == safe_answer(Fault.CAPS, "id")


@given(st.text(max_size=500))
@settings(max_examples=300, deadline=None)
def test_any_text_can_be_checked(text: str) -> None:
    assert isinstance(check_draft(text, []), list)


@pytest.mark.parametrize(
    "piece",
    ["a", "a.", "a-", "@", "1 ", "promo ", "tidak promo ", "dua ", "9", "9.", "Rp 1 ", "[at] ",
     "A-", "1-", "#a", "order no ", "harga ", "h t t p ", "dot com ", "x@", "aa.aa-", "1,5 - ",
     "lima puluh ribu ", "&amp;", "1.000.", "**", "(", "\u0301", "😀"],
)  # fmt: skip
def test_hostile_text_takes_no_time(piece: str) -> None:
    began = time.process_time()
    check_draft(piece * (LONGEST_DRAFT // len(piece)), [])
    assert time.process_time() - began < 1


def test_pairs_of_digits_are_an_account_where_the_words_say_so_and_sizes_elsewhere() -> None:
    assert check_draft("Rekening: 12 34 56 78 90", [])
    assert check_draft("Transfer ke BCA 12 34 56 78 90 ya", [])
    assert not check_draft("Tersedia ukuran 36 37 38 39 40", [])


def test_an_order_that_we_sent_is_a_claim_however_it_is_said() -> None:
    assert check_draft("Pesanan Kakak sudah kami kirim", [])
    assert check_draft("Orderan telah saya proses ya Kak", [])
    assert not check_draft("Pesanan Kakak belum kami kirim", [])
