"""Being the customers: what their phones send goes through the very webhook that WAHA uses."""

import base64
import binascii
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from gateway.application import waha_shapes
from gateway.application.ports.simulated_phone import (
    AnswerState,
    Chat,
    Picture,
    SimulatedCustomer,
    SimulatedPhones,
    SimulatedShop,
)
from gateway.application.waha_shapes import Said
from shared.kernel.clock import Clock
from shared.kernel.errors import Invalid, NotFound
from shared.waha.addresses import ChatAddress, of_phone, phone_of

PICTURE_BYTES = 2_000_000
MIMETYPES = ("image/jpeg", "image/png", "image/webp", "image/gif")
"""Of the pictures that `_mimetype` knows."""
_SHOWN = 200
"""Messages of a chat that a phone loads."""

Deliver: TypeAlias = Callable[[SimulatedShop, bytes], Awaitable[None]]
"""Posts a signed event to the shop's webhook; raises Unavailable when it is not accepted."""


class NoSimulator(NotFound):
    """This tenant has no simulated number."""

    code = "no_simulator"


class NoSuchPhone(NotFound):
    """The simulator has no such customer or message."""

    code = "no_such_phone"


class BadPhoneNumber(Invalid):
    """A simulated customer needs a phone number such as +62 812 3456 7890."""

    code = "bad_phone"


class BadPicture(Invalid):
    """A picture is JPEG, PNG, WebP or GIF, in base64, of at most 2 MB."""

    code = "bad_picture"


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Location:
    latitude: float
    longitude: float
    name: str | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Photo:
    data: str
    """Base64."""
    caption: str = ""


Sent: TypeAlias = Text | Location | Photo


@dataclass(frozen=True, slots=True)
class SimulatorService:
    phones: SimulatedPhones
    media_url: Callable[[SimulatedShop, str], str]
    """Where a picture of a shop's simulated chat can be fetched."""
    now: Clock
    chance: random.Random

    async def shop(self, tenant: str) -> SimulatedShop:
        """Raises NoSimulator."""
        found = await self.phones.find_shop(tenant)
        if found is None:
            raise NoSimulator
        return found

    async def shops(self) -> Sequence[SimulatedShop]:
        return await self.phones.shops()

    async def customers(self, shop: SimulatedShop) -> Sequence[SimulatedCustomer]:
        return await self.phones.customers(shop)

    async def add_customer(
        self, shop: SimulatedShop, *, name: str | None, phone: str | None
    ) -> SimulatedCustomer:
        """A new phone, or the known one of this number; what is left out is invented.

        Raises:
            BadPhoneNumber: nobody could have this number.
        """
        address = of_phone(_international(phone)) if phone else self._invented_address()
        if address is None or phone_of(address) is None:
            raise BadPhoneNumber
        chosen = (name or "").strip() or await self.phones.name_of(shop, address)
        customer = SimulatedCustomer(address=address, name=chosen or self._invented_name())
        await self.phones.add_customer(shop, address, customer.name)
        return customer

    async def chat(self, shop: SimulatedShop, address: str, *, after: str | None = None) -> Chat:
        """What a phone shows. Raises NoSuchPhone."""
        await self._name(shop, address)
        return await self.phones.chat(shop, address, after=after, limit=_SHOWN)

    async def send(self, shop: SimulatedShop, address: str, sent: Sent, deliver: Deliver) -> str:
        """Send as the customer; returns the message's native id once the shop has accepted it.

        Raises:
            NoSuchPhone: the simulator has no such customer.
            BadPicture: it is none.
            Unavailable: the webhook did not accept it; nothing is left behind.
        """
        name = await self._name(shop, address)
        native_id = self._native_id()
        said, content = self._told(shop, native_id, sent)
        await self.phones.put(shop, address, native_id, said.body or "", content)
        event = waha_shapes.message(
            said,
            shop=shop,
            address=address,
            name=name,
            native_id=native_id,
            event_id=self._native_id(),
            at=self.now(),
        )
        try:
            await deliver(shop, event)
        except BaseException:
            await self.phones.take_back(shop, native_id)
            raise
        return native_id

    async def see(self, shop: SimulatedShop, address: str, deliver: Deliver) -> int:
        """The chat is open on the phone: tell the shop that its bubbles are read; how many were."""
        await self._name(shop, address)
        fresh = await self.phones.see(shop, address)
        for native_id in fresh:
            event = waha_shapes.read(
                shop=shop,
                address=address,
                native_id=native_id,
                event_id=self._native_id(),
                at=self.now(),
            )
            await deliver(shop, event)
        return len(fresh)

    async def picture(self, shop: SimulatedShop, native_id: str) -> Picture:
        """Raises NoSuchPhone."""
        found = await self.phones.picture(shop, native_id)
        if found is None:
            raise NoSuchPhone("there is no such picture")
        return found

    async def answer(self, shop: SimulatedShop, address: str, native_id: str) -> AnswerState:
        """What became of a message. Raises NoSuchPhone."""
        found = await self.phones.answer(shop, address, native_id)
        if found is None:
            raise NoSuchPhone("this phone has sent no such message")
        return found

    def _told(
        self, shop: SimulatedShop, native_id: str, sent: Sent
    ) -> tuple[Said, Mapping[str, Any]]:
        """As WAHA would tell it, and as the phone remembers it."""
        if isinstance(sent, Text):
            return Said(body=sent.text), {"type": "text"}
        if isinstance(sent, Location):
            place = {
                "latitude": sent.latitude,
                "longitude": sent.longitude,
                "name": sent.name,
                "address": sent.address,
            }
            return Said(location=place), {"type": "location", **place}
        mimetype = _mimetype(_decoded(sent.data))
        url = self.media_url(shop, native_id)
        content = {"type": "image", "mimetype": mimetype, "data": sent.data}
        return Said(body=sent.caption or None, media=(url, mimetype)), content

    async def _name(self, shop: SimulatedShop, address: str) -> str:
        name = await self.phones.name_of(shop, address)
        if name is None:
            raise NoSuchPhone
        return name

    def _native_id(self) -> str:
        return f"3EB0{self.chance.getrandbits(72):018X}"

    def _invented_address(self) -> ChatAddress | None:
        return of_phone(f"62812{self.chance.randrange(10**7, 10**8)}")

    def _invented_name(self) -> str:
        return f"{self.chance.choice(_GIVEN_NAMES)} {self.chance.choice(_FAMILY_NAMES)}"


def _international(phone: str) -> str:
    """People write 0812…; without a country it is Indonesia's."""
    digits = phone.strip()
    return f"62{digits[1:]}" if digits.startswith("0") else digits


def _decoded(data: str) -> bytes:
    try:
        decoded = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadPicture from error
    if not decoded or len(decoded) > PICTURE_BYTES:
        raise BadPicture
    return decoded


def _mimetype(data: bytes) -> str:
    """By the first bytes, whatever the sender calls it."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "image/gif"
    raise BadPicture


_GIVEN_NAMES = (
    "Ayu", "Bagus", "Citra", "Dewi", "Eko", "Fitri", "Galih", "Hana", "Indra", "Joko", "Kartika",
    "Lestari", "Made", "Nadia", "Putri", "Rizky", "Sari", "Tono", "Wulan", "Yusuf",
)  # fmt: skip
_FAMILY_NAMES = (
    "Anggraini", "Hidayat", "Kusuma", "Maharani", "Nugroho", "Pratama", "Rahmawati", "Santoso",
    "Saputra", "Setiawan", "Siregar", "Susanti", "Utami", "Wibowo", "Wijaya",
)  # fmt: skip
