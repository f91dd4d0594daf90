"""What the platform itself says to a customer, in the customer's language."""

from typing import Final

_HOLDING: Final = {
    "id": "Mohon tunggu sebentar ya, Kak. Pesannya sudah kami terima dan segera kami balas. 🙏",
    "en": "One moment please. We have received your message and will answer as soon as we can. 🙏",
}
_HAND_OVER: Final = {
    "id": "Baik, Kak. Percakapan ini kami teruskan ke tim kami; mereka akan membalas di sini.",
    "en": "Thank you. We are passing this on to our team; they will answer you right here.",
}
_HOURS: Final = {
    "id": "Jam layanan kami: {hours}.",
    "en": "Our hours are: {hours}.",
}
DEFAULT_LANGUAGE: Final = "id"


def language_of(customer: str | None, shop: str | None) -> str:
    """The customer's language if we speak it, else the shop's, else Indonesian."""
    for wished in (customer, shop):
        code = (wished or "").lower().split("-")[0].split("_")[0]
        if code in _HOLDING:
            return code
    return DEFAULT_LANGUAGE


def holding_line(language: str) -> str:
    """Said once per outage: we are here, the answer is late."""
    return _HOLDING[language]


def hand_over_line(language: str, hours: str = "") -> str:
    """A person will answer; with the shop's hours where they are known."""
    if not hours:
        return _HAND_OVER[language]
    return f"{_HAND_OVER[language]} {_HOURS[language].format(hours=hours)}"
