"""Webhook bodies as WAHA sends them, for every event kind and all three engines, signed.

    hooks = Webhooks(engine="GOWS", session="shop", secret="s3cret")
    hooks.message("halo", chat="6281230001@c.us").body / .headers
    hooks.message("foto", media=hooks.file("image/jpeg")), hooks.location(-6.2, 106.8),
    hooks.contact("Ani", "+62 811"), hooks.tap("sku:1", "Kopi 250g"), hooks.stub(),
    hooks.own("dari HP"), hooks.edited(id, "baru"), hooks.revoked(id), hooks.reaction(id, "👍"),
    hooks.ack(id, 3), hooks.session_status("WORKING"), hooks.event("presence.update", {...})

Every message has an id of its own unless ``native_id`` is given; ids appear in the engine's form.
"""

import hashlib
import hmac
import itertools
import json
import time
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

Json = dict[str, Any]
Engine = Literal["WEBJS", "NOWEB", "GOWS"]
ENGINES: tuple[Engine, ...] = ("WEBJS", "NOWEB", "GOWS")

CUSTOMER = "6281230000001@c.us"
SHOP = "628111000111@c.us"
SECRET = "test-webhook-secret"
ACK_NAMES = {-1: "ERROR", 0: "PENDING", 1: "SERVER", 2: "DEVICE", 3: "READ", 4: "PLAYED"}

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Webhook:
    """One delivery: the raw body and its headers, signature included."""

    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Json:
        decoded: Json = json.loads(self.body)
        return decoded

    @property
    def native_id(self) -> str:
        """The bare id of the message it speaks of."""
        payload = self.json["payload"]
        full = payload.get("revokedMessageId") or payload["id"]
        return str(full).split("_")[2 if "_" in str(full) else 0]


def new_native_id() -> str:
    """A stanza id such as phones make, unique in this process and beyond."""
    return f"3EB0{next(_numbers):06X}{uuid4().hex[:10].upper()}"


def sign(body: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha512).hexdigest()


def signed(body: bytes, secret: str = SECRET) -> Webhook:
    """Any bytes with the headers WAHA would give them."""
    headers = {
        "content-type": "application/json",
        "user-agent": "WAHA/2026.7.1",
        "x-webhook-request-id": uuid4().hex,
        "x-webhook-timestamp": str(int(time.time() * 1000)),
        "x-webhook-hmac": sign(body, secret),
        "x-webhook-hmac-algorithm": "sha512",
    }
    return Webhook(body, headers)


def file(
    mimetype: str = "image/jpeg",
    *,
    name: str = "photo.jpg",
    session: str = "default",
    host: str = "http://waha.invalid:3000",
    filename: str | None = None,
) -> Json:
    """A ``media`` object. Its host is never the configured one: nobody may follow it."""
    return {
        "url": f"{host}/api/files/{session}/{name}",
        "mimetype": mimetype,
        "filename": filename,
        "error": None,
    }


@dataclass(frozen=True, kw_only=True)
class Webhooks:
    """Builds deliveries of one session."""

    engine: Engine = "NOWEB"
    session: str = "default"
    secret: str = SECRET
    me: str = SHOP
    me_lid: str | None = None
    push_name: str | None = "Budi"
    """What customers call themselves."""

    def event(
        self, event: str, payload: Any, *, at: float | None = None, **changes: Any
    ) -> Webhook:
        """Any event; ``changes`` replace fields of the envelope (``engine=None`` drops it)."""
        envelope: Json = {
            "id": f"evt_{uuid4().hex[:26]}",
            "timestamp": int((at or time.time()) * 1000),
            "event": event,
            "session": self.session,
            "metadata": {},
            "me": {"id": self.me, "lid": self.me_lid, "pushName": "Shop"},
            "payload": payload,
            "engine": self.engine,
            "environment": {"version": "2026.7.1", "engine": self.engine, "tier": "CORE"},
        } | changes
        if envelope["engine"] is None:
            del envelope["engine"]
        return signed(json.dumps(envelope, ensure_ascii=False).encode(), self.secret)

    def message(
        self,
        text: str | None = "Halo",
        *,
        chat: str = CUSTOMER,
        native_id: str | None = None,
        at: float | None = None,
        event: str = "message.any",
        alternate: str | None = None,
        media: Json | None = None,
        reply_to: str | None = None,
        from_me: bool = False,
        source: str = "app",
        **fields: Any,
    ) -> Webhook:
        """Something said in ``chat``; ``fields`` replace fields of the payload."""
        payload = self.payload(
            text,
            chat=chat,
            native_id=native_id,
            at=at,
            alternate=alternate,
            media=media,
            reply_to=reply_to,
            from_me=from_me,
            source=source,
        )
        return self.event(event, payload | fields, at=at)

    def payload(
        self,
        text: str | None = "Halo",
        *,
        chat: str = CUSTOMER,
        native_id: str | None = None,
        at: float | None = None,
        alternate: str | None = None,
        media: Json | None = None,
        reply_to: str | None = None,
        from_me: bool = False,
        source: str = "app",
    ) -> Json:
        """The payload alone, as histories hold it."""
        native_id = native_id or new_native_id()
        webjs = self.engine == "WEBJS"
        return {
            "id": f"{str(from_me).lower()}_{chat}_{native_id}",
            "timestamp": int(at or time.time()),
            "from": self.me if webjs and from_me else chat,
            "fromMe": from_me,
            "source": source,
            "to": (chat if from_me else self.me) if webjs else None,
            "participant": None,
            "body": text,
            "hasMedia": media is not None,
            "media": media,
            "ack": 1 if from_me else 2,
            "ackName": "SERVER" if from_me else "DEVICE",
            "vCards": [],
            "location": None,
            "replyTo": self._quoted(reply_to, chat),
            "_data": self._raw(text, chat, native_id, from_me, alternate),
        }

    def own(self, text: str = "Dari HP", *, source: str = "app", **options: Any) -> Webhook:
        """An own message: typed on the phone, or with ``source="api"`` the echo of a send."""
        return self.message(text, from_me=True, source=source, **options)

    def location(self, latitude: Any = "-6.2", longitude: Any = "106.8", **options: Any) -> Webhook:
        place = {
            "latitude": latitude,
            "longitude": longitude,
            "live": False,
            "name": "Monas",
            "address": "Jakarta",
            "url": None,
            "description": None,
            "thumbnail": None,
        }
        return self.message(None, location=place, **options)

    def contact(self, name: str = "Ani", phone: str = "+62 811", **options: Any) -> Webhook:
        card = f"BEGIN:VCARD\nVERSION:3.0\nFN:{name}\nTEL;type=CELL;waid=62811:{phone}\nEND:VCARD"
        return self.message(card, vCards=[card], **options)

    def tap(self, row_id: str = "sku:1", title: str = "Kopi 250g", **options: Any) -> Webhook:
        """A tap on a row of a list."""
        reply = {"title": title, "singleSelectReply": {"selectedRowId": row_id}}
        raw = {
            "WEBJS": {"type": "list_response", "listResponse": reply},
            "NOWEB": {"message": {"listResponseMessage": reply}},
            "GOWS": {"Info": {}, "Message": {"listResponseMessage": reply}},
        }[self.engine]
        return self.message(f"{title}\nRp 60.000", _data=raw, **options)

    def stub(self, **options: Any) -> Webhook:
        """A message that could not be decrypted: neither text nor anything else."""
        return self.message(None, _data={}, **options)

    def edited(
        self, native_id: str, text: str, *, chat: str = CUSTOMER, from_me: bool = False
    ) -> Webhook:
        payload = self.payload(text, chat=chat, from_me=from_me)
        return self.event("message.edited", payload | {"editedMessageId": native_id})

    def revoked(self, native_id: str, *, chat: str = CUSTOMER, from_me: bool = False) -> Webhook:
        """Where the id stands differs: WEBJS names it outside, the others only inside."""
        after = self.payload("", chat=chat, from_me=from_me)
        payload: Json = {"before": None, "after": after, "revokedMessageId": native_id}
        if self.engine == "NOWEB":
            after["_data"] = {"message": {"protocolMessage": {"key": {"id": native_id}}}}
            payload["revokedMessageId"] = None
        elif self.engine == "GOWS":
            after["_data"] = {"Message": {"protocolMessage": {"key": {"ID": native_id}}}}
        return self.event("message.revoked", payload)

    def reaction(
        self,
        native_id: str,
        emoji: str = "👍",
        *,
        chat: str = CUSTOMER,
        from_me: bool = False,
        target_from_me: bool = True,
    ) -> Webhook:
        payload = self.payload(None, chat=chat, from_me=from_me)
        full = f"{str(target_from_me).lower()}_{chat}_{native_id}"
        extra = {
            "timestamp": time.time(),
            "reaction": {
                "text": emoji,
                "messageId": native_id if self.engine == "GOWS" else full,
            },
        }
        return self.event("message.reaction", payload | extra)

    def ack(
        self, native_id: str, level: int = 3, *, chat: str = CUSTOMER, from_me: bool = True
    ) -> Webhook:
        webjs = self.engine == "WEBJS"
        payload = {
            "id": f"{str(from_me).lower()}_{chat}_{native_id}",
            "from": self.me if webjs and from_me else chat,
            "to": chat if webjs and from_me else None,
            "participant": None,
            "fromMe": from_me,
            "ack": level,
            "ackName": ACK_NAMES.get(level, "UNKNOWN"),
            "_data": {},
        }
        return self.event("message.ack", payload)

    def session_status(self, status: str = "WORKING") -> Webhook:
        moment = int(time.time() * 1000)
        payload = {
            "name": self.session,
            "status": status,
            "statuses": [{"status": status, "timestamp": moment}],
        }
        me = {} if status == "WORKING" else {"me": None}
        return self.event("session.status", payload, **me)

    def elsewhere(self, kind: str, text: str = "Halo semua", **options: Any) -> Webhook:
        """A message that is not for the shop: ``group``, ``status``, ``newsletter``,
        ``broadcast``. A story carries its author's number and alternate as well."""
        chat = {
            "group": "120363000000000001@g.us",
            "status": "status@broadcast",
            "newsletter": "120363000000000002@newsletter",
            "broadcast": "1700000000@broadcast",
        }[kind]
        return self.message(
            text, chat=chat, alternate=CUSTOMER, participant="99000000000001@lid", **options
        )

    def _quoted(self, reply_to: str | None, chat: str) -> Json | None:
        if reply_to is None:
            return None
        full = reply_to if self.engine == "GOWS" else f"true_{chat}_{reply_to}"
        return {"id": full, "participant": self.me, "body": "quoted", "hasMedia": False}

    def _raw(
        self, text: str | None, chat: str, native_id: str, from_me: bool, alternate: str | None
    ) -> Json:
        called = "Shop" if from_me else self.push_name
        if self.engine == "WEBJS":
            parts = {"fromMe": from_me, "remote": chat, "id": native_id}
            return {"id": parts, "type": "chat", "notifyName": called}
        if self.engine == "NOWEB":
            key: Json = {"remoteJid": _internal(chat), "fromMe": from_me, "id": native_id}
            if alternate:
                key["remoteJidAlt"] = _internal(alternate)
            return {"key": key, "message": {"conversation": text}, "pushName": called}
        side = "RecipientAlt" if from_me else "SenderAlt"
        info: Json = {
            "ID": native_id,
            "Chat": _internal(chat),
            "IsFromMe": from_me,
            "PushName": called,
            side: "",
        }
        if alternate:  # this engine leaves the device in it
            info[side] = _internal(alternate).replace("@", ":77@")
        return {"Info": info, "Message": {"conversation": text}}


def _internal(address: str) -> str:
    return address.replace("@c.us", "@s.whatsapp.net")
