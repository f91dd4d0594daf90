"""A small coffee shop and bakery in Indonesia, for tests of catalogue and search."""

from commerce_agent.domain.entities.product import ProductDraft, VariantDraft
from shared.kernel.money import Money

_MENU = """
Kopi Panas
  Espresso | 18000 | Biji arabika Gayo, pekat dan harum.
  Americano | 22000 | Espresso dengan air panas.
  Cappuccino | 28000 | Espresso, susu, dan busa lembut.
  Caffè Latte | 28000 | Espresso dengan susu hangat yang lembut.
  Flat White | 30000 | Dua takar espresso, sedikit susu.
  Kopi Tubruk | 15000 | Kopi hitam diseduh langsung.
  Kopi Susu Panas | 20000 | Robusta Lampung dan susu kental manis.
  Mochaccino | 32000 | Espresso, cokelat, dan susu.
  V60 Kintamani | 35000 | Diseduh manual, rasa jeruk.
  Piccolo | 26000 | Kecil dan kuat.
Kopi Dingin
  Es Kopi Susu Gula Aren | 25000 | Andalan kami: gula aren asli.
  Es Kopi Susu Pandan | 26000 | Wangi pandan.
  Es Americano | 24000 | Segar tanpa gula.
  Caramel Macchiato | 36000 | Karamel dan espresso di atas es.
  Cold Brew | 32000 | Diseduh dingin dua belas jam.
  Vietnamese Coffee | 27000 | Kopi saring dengan susu kental.
  Kopi Kelapa | 29000 | Kopi dingin dengan kelapa muda.
  Affogato | 34000 | Es krim vanila disiram espresso.
Bukan Kopi
  Teh Tarik | 18000 | Teh dan susu, ditarik berkali-kali.
  Es Teh Manis | 10000 | Teh melati dengan gula.
  Teh Melati | 12000 | Daun teh pilihan.
  Matcha Latte | 33000 | Bubuk teh hijau dari Uji.
  Cokelat Panas | 27000 | Kakao Sulawesi.
  Jus Alpukat | 25000 | Alpukat mentega dan cokelat.
  Jus Jeruk | 20000 | Diperas saat dipesan.
  Lemon Tea | 16000 | Teh lemon dingin.
  Air Mineral | 8000 | Botol 600 ml.
  Wedang Jahe | 17000 | Jahe merah, menghangatkan.
Roti
  Roti Tawar | 22000 | Tanpa pengawet, dipanggang tiap pagi.
  Roti Gandum | 28000 | Gandum utuh.
  Roti Sobek Cokelat | 24000 | Isi cokelat.
  Roti Keju | 15000 | Keju parut di atasnya.
  Roti Pisang | 14000 | Pisang raja.
  Roti Sosis | 17000 | Sosis sapi.
  Roti Abon | 18000 | Abon sapi pedas manis.
  Baguette | 20000 | Kulit renyah.
  Sourdough | 45000 | Fermentasi 24 jam.
  Ciabatta | 25000 | Untuk roti isi.
  Bagel Wijen | 19000 | Kenyal, bertabur wijen.
Pastry
  Croissant Mentega | 22000 | Berlapis, memakai mentega Prancis.
  Croissant Almond | 28000 | Krim almond.
  Pain au Chocolat | 27000 | Dua batang cokelat.
  Danish Blueberry | 26000 | Selai bluberi.
  Cinnamon Roll | 24000 | Kayu manis.
  Puff Ayam | 19000 | Isi ayam cincang.
  Quiche Jamur | 32000 | Jamur dan keju.
  Eclair Vanila | 21000 | Krim vanila.
  Donat Gula | 9000 | Donat kentang klasik.
  Donat Cokelat | 11000 | Lapis cokelat.
Kue
  Brownies Panggang | 55000 | Cokelat pekat, satu loyang kecil.
  Bolu Pandan | 48000 | Lembut dan wangi.
  Kue Lapis Legit | 120000 | Delapan belas lapis.
  Cheesecake Jepang | 65000 | Lembut seperti awan.
  Red Velvet | 38000 | Potongan dengan krim keju.
  Tiramisu | 42000 | Kopi dan mascarpone.
  Nastar | 75000 | Stoples 500 gram, selai nanas.
  Kastengel | 80000 | Kue kering keju.
  Kukis Cokelat | 12000 | Renyah di luar.
  Klepon Cake | 36000 | Pandan, kelapa, gula merah.
Makanan
  Nasi Goreng Kampung | 32000 | Dengan telur mata sapi.
  Mie Goreng Jawa | 30000 | Pedas sedang.
  Roti Isi Daging Asap | 35000 | Daging asap dan keju.
  Salad Ayam Panggang | 38000 | Sayur segar.
  Kentang Goreng | 20000 | Porsi besar.
"""
_SIZES = {"Es Kopi Susu Gula Aren", "Cappuccino", "Matcha Latte"}
SOLD_OUT = frozenset({"Kopi Susu Panas", "Croissant Almond"})


def a_menu() -> list[ProductDraft]:
    """The whole menu; two products are sold out, three come in two sizes."""
    drafts: list[ProductDraft] = []
    category = ""
    for entry in _MENU.strip().splitlines():
        if not entry.startswith(" "):
            category = entry
            continue
        name, price, description = (part.strip() for part in entry.split("|"))
        drafts.append(
            ProductDraft(
                name=name,
                category=category,
                description=description,
                variants=_variants(f"CS-{len(drafts) + 1:03}", name, int(price)),
            )
        )
    return drafts


def _variants(sku: str, name: str, price: int) -> list[VariantDraft]:
    on_hand = 0 if name in SOLD_OUT else 20
    if name not in _SIZES:
        return [VariantDraft(sku=sku, price=Money(price, "IDR"), on_hand=on_hand)]
    return [
        VariantDraft(
            sku=f"{sku}-{size[0]}",
            name=size,
            price=Money(price + extra, "IDR"),
            on_hand=on_hand,
            attributes={"ukuran": size},
        )
        for size, extra in (("Regular", 0), ("Large", 6000))
    ]
