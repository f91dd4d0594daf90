"""What is said when no draft may be sent: true whatever happened, and never an error text."""

from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """Why a turn has only a template to say; the value is what staff and metrics see."""

    INVALID_DRAFT = "invalid_draft"
    """The draft said what nothing backs, also after it was mended."""
    CAPS = "caps"
    """The turn used up its model or tool calls."""
    NO_ANSWER = "no_answer"
    """The model said nothing that could be used."""
    REFUSED = "refused"
    """The model's provider does not answer this content."""


_TEMPLATES: Final = {
    Fault.INVALID_DRAFT: {
        "id": (
            "Maaf, Kak, untuk yang itu saya belum bisa memberi jawaban yang pasti. Boleh sebutkan "
            "nama produk yang Kakak cari? Kalau ingin dibantu langsung oleh tim kami, cukup balas "
            "*minta staf* ya. 🙏"
        ),
        "en": (
            "Sorry, I can't give you a sure answer to that yet. Could you tell me the name of the "
            "product you are looking for? If you would rather talk to our team, just reply "
            "*talk to staff*. 🙏"
        ),
    },
    Fault.CAPS: {
        "id": (
            "Maaf, Kak, permintaannya agak panjang untuk saya jawab sekaligus. Boleh dikirim satu "
            "per satu? Atau balas *minta staf* supaya dibantu langsung oleh tim kami. 🙏"
        ),
        "en": (
            "Sorry, that is a little too much for me at once. Could you ask one thing at a time? "
            "Or reply *talk to staff* and our team will help you. 🙏"
        ),
    },
    Fault.NO_ANSWER: {
        "id": (
            "Maaf, Kak, saya belum menangkap maksudnya. Boleh ditulis ulang dengan kata lain? Atau "
            "balas *minta staf* supaya dibantu langsung oleh tim kami. 🙏"
        ),
        "en": (
            "Sorry, I didn't quite get that. Could you say it in other words? Or reply *talk "
            "to staff* and our team will help you. 🙏"
        ),
    },
    Fault.REFUSED: {
        "id": (
            "Maaf, Kak, untuk yang itu saya tidak bisa membantu. Ada yang ingin ditanyakan tentang "
            "produk kami? Atau balas *minta staf* untuk bicara dengan tim kami. 🙏"
        ),
        "en": (
            "Sorry, that is something I can't help with. Is there anything you would like to know "
            "about our products? Or reply *talk to staff* to talk to our team. 🙏"
        ),
    },
}


def safe_answer(fault: Fault, language: str) -> str:
    """The template for a fault; languages we do not speak get the Indonesian one."""
    texts = _TEMPLATES[fault]
    return texts.get(language, texts["id"])
