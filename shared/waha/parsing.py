"""The reader of WAHA's webhook: WEBJS, NOWEB and GOWS say the same in three shapes.

Any JSON object with a session and an event name becomes an event; nothing else is raised than
`Unreadable`, for nothing a stranger sends may stop the rest.
"""

from collections.abc import Callable
from typing import Any

from shared.waha.addresses import phone_of
from shared.waha.contents import read_content
from shared.waha.events import (
    AckEvent,
    EditedEvent,
    IgnoredEvent,
    MessageEvent,
    ReactionEvent,
    RevokedEvent,
    SessionStatusEvent,
    WahaEvent,
)
from shared.waha.identity import (
    Me,
    MessageId,
    Place,
    alternate,
    native_of,
    place,
    push_name,
    read_id,
)
from shared.waha.reading import Unreadable, dig, moment, name, number, read_json, text

_HISTORY = "history"
_NOBODY = Me()


def parse_event(body: bytes) -> WahaEvent:
    """Read one webhook body.

    Raises:
        Unreadable: not JSON, or not an event of WAHA.
    """
    envelope = read_json(body)
    event, session = name(envelope.get("event")), name(envelope.get("session"))
    if event is None or session is None:
        raise Unreadable("an event has a name and a session")
    reader = _READERS.get(event)
    if reader is None:
        return IgnoredEvent(session=session, reason="not_used", event=event)
    payload = envelope.get("payload")
    if not isinstance(payload, dict):
        raise Unreadable(f"{event} has no payload")
    return reader(_Context(session, event, Me.read(envelope), envelope.get("timestamp")), payload)


def parse_message(
    payload: dict[str, Any], *, session: str, me: Me = _NOBODY
) -> MessageEvent | IgnoredEvent:
    """Read a message of a chat's history; it is marked as recovered.

    Raises:
        Unreadable: it has no id.
    """
    context = _Context(session, _HISTORY, me, None)
    found = _message(context, payload)
    assert isinstance(found, MessageEvent | IgnoredEvent)
    return found


class _Context:
    """What the envelope says of every payload."""

    def __init__(self, session: str, event: str, me: Me, timestamp: Any) -> None:
        self.session, self.event, self.me, self.timestamp = session, event, me, timestamp

    def ignored(self, reason: str) -> IgnoredEvent:
        return IgnoredEvent(session=self.session, reason=reason, event=self.event)


def _required_id(payload: dict[str, Any], context: _Context) -> MessageId:
    found = read_id(payload.get("id"))
    if found is None:
        raise Unreadable(f"{context.event} has no id")
    return found


def _message(context: _Context, payload: dict[str, Any]) -> WahaEvent:
    message = _required_id(payload, context)
    where = place(payload, message, context.me)
    if where.chat is None:
        return context.ignored(where.refusal or "unknown_address")
    kind, body, content = read_content(payload)
    quoted = content.get("quoted")
    return MessageEvent(
        session=context.session,
        native_id=message.native,
        chat=where.chat,
        sender=_sender(where, context.me),
        from_me=where.own,
        source_is_api=where.own and payload.get("source") == "api",
        text=body,
        content_type=kind,
        content=content,
        reply_to=quoted["id"] if quoted else None,
        sent_at=moment(payload.get("timestamp")) or moment(context.timestamp),
        alternate=alternate(payload, where.chat, own=where.own, me=context.me),
        push_name=None if where.own else push_name(payload),
        recovered_hint=context.event == _HISTORY,
    )


def _sender(where: Place, me: Me) -> str:
    if not where.own:
        return str(where.chat)
    return me.number or next(iter(sorted(me.addresses)), "me")


def _edited(context: _Context, payload: dict[str, Any]) -> WahaEvent:
    message = _required_id(payload, context)
    where = place(payload, message, context.me)
    if where.chat is None:
        return context.ignored(where.refusal or "unknown_address")
    raw = dig(payload, "_data", "message|Message")
    edited = (
        payload.get("editedMessageId"),
        dig(raw, "protocolMessage", "key", "id|ID"),
        dig(raw, "editedMessage", "message", "protocolMessage", "key", "id|ID"),
    )
    return EditedEvent(
        session=context.session,
        native_id=next((found for value in edited if (found := native_of(value))), message.native),
        chat=where.chat,
        from_me=where.own,
        text=text(payload.get("body")),
        sent_at=moment(payload.get("timestamp")) or moment(context.timestamp),
        alternate=alternate(payload, where.chat, own=where.own, me=context.me),
    )


def _revoked(context: _Context, payload: dict[str, Any]) -> WahaEvent:
    after, before = payload.get("after"), payload.get("before")
    raw = dig(after, "_data", "message|Message")
    # each engine names the message that is gone somewhere else, the first that fits is it
    target = (
        payload.get("revokedMessageId"),
        dig(before, "id"),
        dig(after, "_data", "protocolMessageKey", "id|ID"),
        dig(raw, "protocolMessage", "key", "id|ID"),
        dig(after, "id"),
    )
    native_id = next((found for value in target if (found := native_of(value))), None)
    if native_id is None:
        return context.ignored("target_unknown")
    witness = after if isinstance(after, dict) else before if isinstance(before, dict) else payload
    where = place(witness, read_id(witness.get("id")), context.me)
    if where.chat is None and where.refusal not in ("unknown_address", "own_chat"):
        return context.ignored(where.refusal or "unknown_address")
    return RevokedEvent(
        session=context.session,
        native_id=native_id,
        chat=where.chat,
        from_me=where.own,
        alternate=alternate(witness, where.chat, own=where.own, me=context.me)
        if where.chat
        else None,
    )


def _reaction(context: _Context, payload: dict[str, Any]) -> WahaEvent:
    message = _required_id(payload, context)
    where = place(payload, message, context.me)
    target = native_of(dig(payload, "reaction", "messageId"))
    if where.chat is None:
        return context.ignored(where.refusal or "unknown_address")
    if target is None:
        return context.ignored("target_unknown")
    return ReactionEvent(
        session=context.session,
        native_id=message.native,
        target_id=target,
        chat=where.chat,
        from_me=where.own,
        emoji=text(dig(payload, "reaction", "text"), 64),
        sent_at=moment(payload.get("timestamp")) or moment(context.timestamp),
        alternate=alternate(payload, where.chat, own=where.own, me=context.me),
    )


_ACK_NAMES = {"ERROR": -1, "PENDING": 0, "SERVER": 1, "DEVICE": 2, "READ": 3, "PLAYED": 4}


def _ack(context: _Context, payload: dict[str, Any]) -> WahaEvent:
    message = _required_id(payload, context)
    where = place(payload, message, context.me)
    if where.chat is None and where.refusal not in ("unknown_address", "own_chat"):
        return context.ignored(where.refusal or "unknown_address")
    level = number(payload.get("ack"))
    if level is None:
        named = payload.get("ackName")
        level = _ACK_NAMES.get(named) if isinstance(named, str) else None
    if level is None or level not in _ACK_NAMES.values():
        return context.ignored("ack_unknown")
    return AckEvent(
        session=context.session,
        native_id=message.native,
        chat=where.chat,
        from_me=where.own,
        level=int(level),
    )


def _session_status(context: _Context, payload: dict[str, Any]) -> WahaEvent:
    status = name(payload.get("status"))
    if status is None:
        return context.ignored("status_unknown")
    return SessionStatusEvent(
        session=context.session,
        status=status.lower()[:64],
        phone=phone_of(context.me.number) if context.me.number else None,
    )


_READERS: dict[str, Callable[[_Context, dict[str, Any]], WahaEvent]] = {
    "message": _message,
    "message.any": _message,
    "message.edited": _edited,
    "message.revoked": _revoked,
    "message.reaction": _reaction,
    "message.ack": _ack,
    "session.status": _session_status,
}
