"""How the engines answer a send."""

from typing import Any

from shared.waha.identity import native_of
from shared.waha.reading import as_dict, dig


def native_id_of_answer(answer: Any) -> str | None:
    """The sent message's native id, or ``None`` when the answer names none.

    GOWS and newer servers answer ``{"id": "true_…"}``, WEBJS ``{"id": {"_serialized": "true_…"}}``,
    NOWEB ``{"key": {"id": "3EB0…"}}``; some WEBJS builds hide that one under ``_data``.
    """
    body = as_dict(answer)
    candidates = (
        body.get("id"),
        dig(body, "key", "id"),
        dig(body, "_data", "id"),
        dig(body, "_data", "key", "id"),
        dig(body, "message", "key", "id"),
    )
    return next((found for value in candidates if (found := native_of(value))), None)
