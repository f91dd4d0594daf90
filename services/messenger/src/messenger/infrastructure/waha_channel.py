"""A WhatsApp number behind a WAHA server."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx2

from messenger.domain import Outgoing
from shared.kernel.errors import Forbidden, Unavailable
from shared.waha.client import WahaClient
from shared.waha.errors import WahaUnauthorized
from shared.waha.events import MessageEvent
from shared.waha.parsing import parse_message
from shared.waha.reading import Unreadable, number
from shared.waha.send import NotSent, SendRefused, SessionNotReady, WahaSender

_CLOCKS_DIFFER = timedelta(minutes=1)
"""Read-back looks this much before the claim: WhatsApp's clock is not ours."""


class MediaNotSupported(SendRefused):
    """This kind of attachment cannot be sent."""

    code = "media_not_supported"


class WahaChannel:
    """Speaks through one session. ``client`` has the server's address and key set."""

    def __init__(
        self, client: httpx2.AsyncClient, session: str, state: str, *, call_timeout: timedelta
    ) -> None:
        self.state = state
        self._asks = WahaClient(client, session)
        self._speaks = WahaSender(client, session, call_timeout=call_timeout)

    async def ready(self) -> None:
        try:
            session = await self._asks.status()
        except WahaUnauthorized as error:
            raise SessionNotReady(error.detail, status="unauthorized") from error
        except (Unavailable, Forbidden) as error:
            raise NotSent(error.detail) from error
        if not session.working:
            raise SessionNotReady(f"the session is {session.status}", status=session.status)

    async def seen(self, send: Outgoing) -> None:
        await self._speaks.seen(send.chat, send.unread)

    async def typing(self, send: Outgoing, *, on: bool) -> None:
        if on:
            await self._speaks.start_typing(send.chat)
        else:
            await self._speaks.stop_typing(send.chat)

    async def reserve_id(self, send: Outgoing) -> str | None:
        """WAHA takes an id with text and locations only."""
        if send.media is not None and send.media.get("type") != "location":
            return None
        return await self._speaks.reserve_id()

    async def send(self, send: Outgoing, reserved_id: str | None) -> str | None:
        if send.media is None:
            return await self._speaks.send_text(
                send.chat, send.body, id=reserved_id, reply_to=send.reply_to
            )
        match send.media.get("type"):
            case "image":
                return await self._speaks.send_image(
                    send.chat, _file(send.media), caption=send.body, reply_to=send.reply_to
                )
            case "location":
                latitude, longitude = _point(send.media)
                return await self._speaks.send_location(
                    send.chat,
                    latitude,
                    longitude,
                    title=str(send.media.get("title") or send.body),
                    id=reserved_id,
                    reply_to=send.reply_to,
                )
        raise MediaNotSupported

    async def find(self, send: Outgoing, since: datetime, taken: Collection[str]) -> str | None:
        """By the reserved id where there is one, else by the same text from us since the claim."""
        if send.reserved_id is not None:
            known = await self._asks.message(send.chat, send.reserved_id, from_me=True)
            if known is not None:
                return send.reserved_id
        history = await self._asks.history(send.chat, since - _CLOCKS_DIFFER, own_only=True)
        for payload in history:
            message = self._own_message(payload)
            if message is None or message.native_id in taken:
                continue
            if send.reserved_id == message.native_id:
                return message.native_id
            if send.reserved_id is None and _same_text(message, send):
                return message.native_id
        return None

    def _own_message(self, payload: dict[str, Any]) -> MessageEvent | None:
        try:
            message = parse_message(payload, session=self._asks.session)
        except Unreadable:
            return None
        return message if isinstance(message, MessageEvent) and message.from_me else None


def _same_text(message: MessageEvent, send: Outgoing) -> bool:
    return (message.text or "").strip() == send.body.strip() and (
        send.media is None or "media" in message.content or "latitude" in message.content
    )


def _file(media: Mapping[str, Any]) -> dict[str, str]:
    """WAHA's description of a picture, by address or with its bytes in base64."""
    source = {key: str(media[key]) for key in ("url", "data") if media.get(key)}
    if len(source) != 1:
        raise MediaNotSupported("a picture comes as url or as data")
    filename = {"filename": str(media["filename"])} if media.get("filename") else {}
    return {"mimetype": str(media.get("mimetype") or "image/jpeg")} | filename | source


def _point(media: Mapping[str, Any]) -> tuple[float, float]:
    latitude, longitude = number(media.get("latitude")), number(media.get("longitude"))
    if latitude is None or longitude is None:
        raise MediaNotSupported("a location has latitude and longitude")
    return latitude, longitude
