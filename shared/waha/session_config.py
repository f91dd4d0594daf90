"""How a session must be configured at WAHA so that we hear of everything, and of nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from pydantic import SecretStr

from shared.waha.reading import as_dict, dig

EVENTS: Final = (
    "message.any",
    "message.ack",
    "message.reaction",
    "message.edited",
    "message.revoked",
    "session.status",
)
"""What we have a use for; ``message`` would tell half of ``message.any`` again."""

_EVERYTHING: Final = "*"

_RETRIES: Final = MappingProxyType({"policy": "constant", "delaySeconds": 5, "attempts": 360})
"""Half an hour. Constant, because whatever waited must come within seconds of our return: an
exponential wait would be as long again as we were away. Later a gap is found in the history."""

_DEFAULTS: Final = MappingProxyType(
    {
        # told apart from chats with one person and dropped by us anyway
        "ignore": {"status": True, "groups": True, "channels": True, "broadcast": True},
        # a gap can only be repaired from a history; the last ninety days are more than enough
        "noweb": {"markOnline": True, "store": {"enabled": True, "fullSync": False}},
        "gows": {"storage": {"messages": True, "chats": True, "groups": False, "labels": False}},
    }
)


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """Where a session's events go, and what they are signed with."""

    url: str
    secret: SecretStr


def new_config(target: WebhookTarget) -> dict[str, Any]:
    """The configuration of a session that WAHA does not know yet."""
    return {**_DEFAULTS, "webhooks": [_webhook({}, target)]}


def completed(present: Mapping[str, Any], target: WebhookTarget) -> dict[str, Any] | None:
    """The configuration with our webhook in it; ``None`` when it is there as it must be.

    Everything else stays: WAHA replaces a configuration as a whole. An entry with our address on
    another host is our own, from before we moved. What was left open is chosen by us only while
    nobody else listens to the session.
    """
    webhooks = _list(present.get("webhooks"))
    ours = [webhook for webhook in webhooks if _is_ours(webhook, target)]
    if len(ours) == 1 and _delivers(ours[0], target):
        return None
    others = [webhook for webhook in webhooks if not _is_ours(webhook, target)]
    kept = {key: value for key, value in present.items() if value is not None}
    defaults: Mapping[str, Any] = {} if others else _DEFAULTS
    return {**defaults, **kept, "webhooks": [*others, _webhook(ours[0] if ours else {}, target)]}


def _is_ours(webhook: Any, target: WebhookTarget) -> bool:
    """It ends with the ids of tenant and channel, whatever host and path stand before them."""
    url = dig(webhook, "url")
    return isinstance(url, str) and _ids(url) == _ids(target.url)


def _ids(url: str) -> list[str]:
    return url.rstrip("/").split("/")[-2:]


def _delivers(webhook: Any, target: WebhookTarget) -> bool:
    events = _list(dig(webhook, "events"))
    return (
        dig(webhook, "url") == target.url
        and (_EVERYTHING in events or set(EVENTS) <= set(map(str, events)))
        and dig(webhook, "hmac", "key") == target.secret.get_secret_value()
    )


def _webhook(present: Any, target: WebhookTarget) -> dict[str, Any]:
    kept = {key: value for key, value in as_dict(present).items() if value is not None}
    events = [event for event in _list(kept.get("events")) if event not in EVENTS]
    return {
        "retries": dict(_RETRIES),
        **kept,
        "url": target.url,
        "events": [*EVENTS, *events],
        "hmac": {"key": target.secret.get_secret_value()},
    }


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
