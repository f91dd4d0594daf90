"""What is in a message, whichever engine delivered it."""

import re
from typing import Any
from urllib.parse import unquote, urlsplit

from shared.waha.events import ContentType
from shared.waha.identity import native_of
from shared.waha.reading import LONGEST_TEXT, as_dict, dig, name, number, text

_MOST_CONTACTS = 20


def read_content(payload: dict[str, Any]) -> tuple[ContentType, str | None, dict[str, Any]]:
    """The kind, the text and the rest of a message's content."""
    body = text(payload.get("body"))
    raw = _raw_message(payload)
    kind, content = (
        _list_reply(payload, raw)
        or _location(payload)
        or _contacts(payload, body)
        or _media(payload, raw)
        or (ContentType.TEXT if body else ContentType.UNKNOWN, {})
    )
    if kind in (ContentType.CONTACT, ContentType.LOCATION):
        body = None if body and (body.startswith("BEGIN:VCARD") or _is_base64(body)) else body
    return kind, body, content | _quoted(payload)


def _raw_message(payload: dict[str, Any]) -> dict[str, Any]:
    """The protocol's own message: ``message`` on NOWEB, ``Message`` on GOWS, none on WEBJS."""
    return as_dict(dig(payload, "_data", "message|Message"))


def _is_base64(body: str) -> bool:
    """WEBJS puts a location's thumbnail where its text would be."""
    return len(body) > 100 and re.fullmatch(r"[A-Za-z0-9+/=\s]+", body) is not None


def _list_reply(
    payload: dict[str, Any], raw: dict[str, Any]
) -> tuple[ContentType, dict[str, Any]] | None:
    data = dig(payload, "_data")
    tapped = (
        dig(raw, "listResponseMessage", "singleSelectReply", "selectedRowId|selectedRowID"),
        dig(raw, "buttonsResponseMessage", "selectedButtonId|selectedButtonID"),
        dig(raw, "templateButtonReplyMessage", "selectedId|selectedID"),
        dig(data, "listResponse", "singleSelectReply", "selectedRowId"),
        dig(data, "selectedRowId"),
        dig(data, "selectedButtonId"),
    )
    row_id = next((found for value in tapped if (found := name(value))), None)
    if row_id is None:
        return None
    title = name(dig(raw, "listResponseMessage", "title")) or name(
        dig(data, "listResponse", "title")
    )
    return ContentType.LIST_REPLY, {"row_id": row_id} | ({"title": title} if title else {})


def _location(payload: dict[str, Any]) -> tuple[ContentType, dict[str, Any]] | None:
    given = payload.get("location")
    if not isinstance(given, dict):
        return None
    latitude, longitude = number(given.get("latitude")), number(given.get("longitude"))
    content: dict[str, Any] = {}
    if latitude is not None and longitude is not None and _on_earth(latitude, longitude):
        content = {"latitude": latitude, "longitude": longitude}
    for key in ("name", "address"):
        if found := name(given.get(key)):
            content[key] = found
    if "name" not in content and (description := name(given.get("description"))):
        content["name"] = description
    return ContentType.LOCATION, content


def _on_earth(latitude: float, longitude: float) -> bool:
    return -90 <= latitude <= 90 and -180 <= longitude <= 180


def _contacts(
    payload: dict[str, Any], body: str | None
) -> tuple[ContentType, dict[str, Any]] | None:
    given = payload.get("vCards")
    cards = [card for card in given if isinstance(card, str)] if isinstance(given, list) else []
    if not cards and body and body.startswith("BEGIN:VCARD"):
        cards = [body]
    if not cards:
        return None
    return ContentType.CONTACT, {"contacts": [_contact(card) for card in cards[:_MOST_CONTACTS]]}


def _contact(card: str) -> dict[str, Any]:
    full_name, phones = None, []
    for line in card[:LONGEST_TEXT].splitlines()[:200]:
        label, _, value = line.partition(":")
        field = label.split(";")[0].rpartition(".")[2].upper()
        if field == "FN":
            full_name = full_name or name(value)
        elif field == "TEL" and (phone := name(value)):
            phones.append(phone)
    return {"name": full_name, "phones": phones[:5]}


_RAW_MEDIA = {
    "imageMessage": ContentType.IMAGE,
    "audioMessage": ContentType.VOICE,
    "videoMessage": ContentType.VIDEO,
    "ptvMessage": ContentType.VIDEO,
    "documentMessage": ContentType.DOCUMENT,
    "documentWithCaptionMessage": ContentType.DOCUMENT,
    "stickerMessage": ContentType.STICKER,
}
_WEBJS_MEDIA = {
    "image": ContentType.IMAGE,
    "ptt": ContentType.VOICE,
    "audio": ContentType.VOICE,
    "video": ContentType.VIDEO,
    "document": ContentType.DOCUMENT,
    "sticker": ContentType.STICKER,
}
_MIMETYPES = {
    "image": ContentType.IMAGE,
    "audio": ContentType.VOICE,
    "video": ContentType.VIDEO,
}


def _media(
    payload: dict[str, Any], raw: dict[str, Any]
) -> tuple[ContentType, dict[str, Any]] | None:
    media = payload.get("media")
    if payload.get("hasMedia") is not True and not isinstance(media, dict):
        return None
    given = as_dict(media)
    mimetype = name(given.get("mimetype"))
    key = next((key for key in _RAW_MEDIA if isinstance(raw.get(key), dict)), None)
    size = number(given.get("size") or dig(raw, key or "", "fileLength"))
    content = {
        "path": media_path(given.get("url")),
        "mimetype": mimetype,
        "filename": name(given.get("filename")),
        "size": int(size) if size is not None and 0 <= size < 1e12 else None,
    }
    return _media_type(payload, key, mimetype), {"media": content}


def _media_type(payload: dict[str, Any], key: str | None, mimetype: str | None) -> ContentType:
    if key is not None:
        return _RAW_MEDIA[key]
    declared = dig(payload, "_data", "type")
    if isinstance(declared, str) and declared in _WEBJS_MEDIA:
        return _WEBJS_MEDIA[declared]
    family, _, kind = (mimetype or "").lower().partition("/")
    if (family, kind) == ("image", "webp"):
        return ContentType.STICKER
    return _MIMETYPES.get(family, ContentType.DOCUMENT)


def media_path(url: Any) -> str | None:
    """The part of a media address that is asked of the configured server.

    The host in it is never followed: a message could name any. What does not lie under WAHA's own
    file route (a bucket, say) has no path; it is fetched again through the message.
    """
    if not isinstance(url, str) or len(url) > 2_048:
        return None
    try:
        path = urlsplit(url).path
    except ValueError:
        return None
    _, found, rest = path.partition("/api/files/")
    steps = unquote(rest).split("/")
    if not found or any(step in ("", ".", "..") for step in steps):
        return None
    if re.search(r"[\x00-\x1f\x7f\\\ud800-\udfff]", unquote(rest)):
        return None
    return f"/api/files/{rest}"


def _quoted(payload: dict[str, Any]) -> dict[str, Any]:
    quoted = payload.get("replyTo")
    native_id = native_of(dig(quoted, "id"))
    if native_id is None:
        return {}
    return {"quoted": {"id": native_id, "text": text(dig(quoted, "body"), 4_096)}}
