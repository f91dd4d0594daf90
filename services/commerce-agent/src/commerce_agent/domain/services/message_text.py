"""What a message says when it has to be text: for prompts, lists and staff."""

from collections.abc import Mapping
from typing import Any, Final

_NAMES: Final = {
    "image": "picture",
    "voice": "voice message",
    "video": "video",
    "document": "document",
    "sticker": "sticker",
    "location": "location",
    "contact": "contact card",
}
_LONGEST_DETAIL: Final = 200


def describe(content_type: str, body: str | None, content: Mapping[str, Any]) -> str:
    """The text; what is not text stands before it in brackets, in words a model understands.

    Names inside were chosen by the sender: they are cut short and lose their brackets, so that they
    cannot end the description.
    """
    said = (body or "").strip()
    if content_type in ("text", "unknown"):
        return said
    if content_type == "list_reply":
        return said or _clean(content.get("title") or content.get("row_id"))
    described = ": ".join(
        part for part in (_NAMES.get(content_type, content_type), _detail(content)) if part
    )
    return f"[{described}] {said}".strip()


def heard_text(content_type: str, body: str | None, content: Mapping[str, Any]) -> str:
    """What the agent reads: the text, after what it answers to if the customer quoted something."""
    said = describe(content_type, body, content)
    quoted = content.get("quoted")
    quote = _clean(quoted.get("text")) if isinstance(quoted, dict) else ""
    return f"[in reply to: {quote}]\n{said}" if quote else said


def _detail(content: Mapping[str, Any]) -> str:
    if isinstance(contacts := content.get("contacts"), list):
        cards = (_contact(contact) for contact in contacts[:3] if isinstance(contact, dict))
        return ", ".join(filter(None, cards))
    if "latitude" in content and "longitude" in content:
        place = " ".join(_clean(content.get(key)) for key in ("name", "address")).strip()
        return f"{place} ({content['latitude']}, {content['longitude']})".strip()
    media = content.get("media")
    return _clean(media.get("filename")) if isinstance(media, dict) else ""


def _contact(contact: Mapping[str, Any]) -> str:
    phones = contact.get("phones")
    numbers = [_clean(phone) for phone in phones[:2]] if isinstance(phones, list) else []
    return " ".join([_clean(contact.get("name")), *numbers]).strip()


def _clean(value: object) -> str:
    words = str(value or "").replace("[", "(").replace("]", ")").split()
    return " ".join(words)[:_LONGEST_DETAIL]
