"""What customers say and what shops in Indonesia call it, for every tenant.

A tenant's own synonyms are added to these and lie in ``search_synonyms``.
"""

from collections.abc import Iterable, Iterator, Mapping

from commerce_agent.domain.services.search_words import words_of

Phrase = tuple[str, ...]
Synonyms = Mapping[Phrase, tuple[Phrase, ...]]
"""From the words of a phrase to the phrases that mean the same."""

LONGEST_PHRASE = 3

_EVERYWHERE: Mapping[str, str] = {
    "non": "bukan, tanpa",
    "bukan": "non",
    "coffee": "kopi",
    "kopi": "coffee",
    "milk": "susu",
    "susu": "milk",
    "tea": "teh",
    "teh": "tea",
    "bread": "roti",
    "roti": "bread",
    "cake": "kue, bolu",
    "kue": "cake, bolu",
    "bolu": "cake",
    "cookie": "kukis, kue kering, cookies",
    "cookies": "kukis, kue kering",
    "kukis": "cookies, kue kering",
    "donut": "donat",
    "doughnut": "donat, donut",
    "donat": "donut",
    "chocolate": "cokelat, coklat",
    "choco": "cokelat, coklat, chocolate",
    "coklat": "cokelat, chocolate",
    "cokelat": "coklat, chocolate",
    "cheese": "keju",
    "keju": "cheese",
    "sugar": "gula",
    "palm sugar": "gula aren, aren",
    "honey": "madu",
    "ginger": "jahe",
    "banana": "pisang",
    "orange": "jeruk",
    "strawberry": "stroberi",
    "stroberi": "strawberry",
    "mango": "mangga",
    "avocado": "alpukat, alpokat",
    "alpukat": "avocado",
    "alpokat": "alpukat, avocado",
    "coconut": "kelapa",
    "peanut": "kacang",
    "almond": "badam",
    "butter": "mentega",
    "egg": "telur",
    "beef": "sapi",
    "chicken": "ayam",
    "sausage": "sosis",
    "smoked beef": "daging asap",
    "rice": "nasi",
    "noodle": "mie, mi",
    "noodles": "mie, mi",
    "ice cream": "es krim",
    "ice": "es, dingin",
    "iced": "es, dingin",
    "cold": "dingin, es",
    "dingin": "es, iced, cold",
    "hot": "panas",
    "panas": "hot",
    "sweet": "manis",
    "manis": "sweet",
    "salty": "asin",
    "savory": "asin, gurih",
    "black coffee": "kopi hitam, kopi tubruk, americano",
    "kopi hitam": "americano, kopi tubruk, long black",
    "beans": "biji",
    "coffee beans": "biji kopi",
    "drink": "minuman",
    "drinks": "minuman",
    "beverage": "minuman",
    "beverages": "minuman",
    "food": "makanan",
    "foods": "makanan",
    "snack": "camilan, cemilan",
    "snacks": "camilan, cemilan, snack",
    "cemilan": "camilan, snack",
    "camilan": "cemilan, snack",
    "gift": "hampers, parsel, kado",
    "hampers": "parsel, gift",
    "birthday": "ulang tahun",
    "ultah": "ulang tahun",
    "item": "hitam",
    "kopsus": "kopi susu",
    "esteh": "es teh",
    "amer": "americano",
    "nasgor": "nasi goreng",
    "miegor": "mie goreng",
    "migor": "mie goreng",
    "mi": "mie",
    "mie": "mi",
    "sandwich": "roti isi",
    "capcin": "cappuccino",
}


def parse_synonyms(entries: Iterable[tuple[str, Iterable[str]]]) -> Iterator[tuple[Phrase, Phrase]]:
    """Read pairs of what is said and what it means; empty or longer phrases are passed over."""
    for said, meanings in entries:
        phrase = tuple(words_of(said))
        for meaning in meanings:
            means = tuple(words_of(meaning))
            if 0 < len(phrase) <= LONGEST_PHRASE and len(means) > 0 and means != phrase:
                yield phrase, means


def with_tenant_words(entries: Iterable[tuple[str, Iterable[str]]]) -> Synonyms:
    """The synonyms of everywhere and a tenant's own together."""
    everywhere = ((said, meanings.split(",")) for said, meanings in _EVERYWHERE.items())
    together: dict[Phrase, list[Phrase]] = {}
    for phrase, means in (*parse_synonyms(entries), *parse_synonyms(everywhere)):
        known = together.setdefault(phrase, [])
        if means not in known:
            known.append(means)
    return {phrase: tuple(meanings) for phrase, meanings in together.items()}
