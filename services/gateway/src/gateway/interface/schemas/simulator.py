"""The simulator's JSON, for its page and for `ai-platform chat`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, model_validator

from gateway.application.ports.simulated_phone import PhoneMessage, SimulatedShop
from gateway.application.services import simulator_service
from gateway.application.services.simulator_service import Sent
from gateway.interface.schemas.common import Answer, RequestBody
from shared.kernel.ids import ChannelId, TenantId

Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]


class ShopAnswer(Answer):
    tenant_id: TenantId
    slug: str
    name: str
    channel_id: ChannelId
    language: str
    model: str
    offline: bool
    label: str = Field(description="What pages show of the model.")

    @classmethod
    def of(cls, shop: SimulatedShop) -> "ShopAnswer":
        label = "offline demo model" if shop.offline else shop.model
        return cls(**{name: getattr(shop, name) for name in _SHOP_FIELDS}, label=label)


_SHOP_FIELDS = ("tenant_id", "slug", "name", "channel_id", "language", "model", "offline")


class InfoAnswer(Answer):
    open: bool = Field(description="No key is needed from where this was asked.")
    tenants: list[ShopAnswer]


class CustomerBody(RequestBody):
    """What is left out is invented."""

    name: str | None = Field(default=None, max_length=100)
    phone: str | None = Field(default=None, max_length=30)


class CustomerAnswer(Answer):
    address: str
    name: str
    phone: str
    last_text: str | None = None
    last_at: datetime | None = None
    unseen: int = 0


class CustomersAnswer(Answer):
    data: list[CustomerAnswer]


class LocationBody(RequestBody):
    latitude: Latitude
    longitude: Longitude
    name: str | None = Field(default=None, max_length=100)
    address: str | None = Field(default=None, max_length=300)


class ImageBody(RequestBody):
    data: str = Field(description="Base64, also as a data: URL; at most 2 MB.")
    caption: str = Field(default="", max_length=1024)
    mimetype: str | None = Field(default=None, description="Not trusted: the bytes are looked at.")


class MessageBody(RequestBody):
    """Exactly one of the three."""

    text: str | None = Field(default=None, min_length=1, max_length=4096)
    location: LocationBody | None = None
    image: ImageBody | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> "MessageBody":
        given = [part for part in (self.text, self.location, self.image) if part is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of text, location and image")
        if self.text is not None and not self.text.strip():
            raise ValueError("a message has something in it")
        return self

    def sent(self) -> Sent:
        if self.location is not None:
            return simulator_service.Location(**self.location.model_dump())
        if self.image is not None:
            data = self.image.data
            if data.startswith("data:"):
                data = data.partition(",")[2]
            return simulator_service.Photo(data=data, caption=self.image.caption)
        return simulator_service.Text(self.text or "")


class SentAnswer(Answer):
    native_id: str


class MessageAnswer(Answer):
    native_id: str
    from_customer: bool
    text: str
    content: dict[str, Any]
    status: str = Field(description="sent, stored or seen; the shop's bubbles: unseen or seen.")
    created_at: datetime

    @classmethod
    def of(cls, message: PhoneMessage, media: Mapping[str, Any]) -> "MessageAnswer":
        status = "sent" if message.from_customer else "unseen"
        if message.seen:
            status = "seen"
        elif message.stored:
            status = "stored"
        return cls(
            native_id=message.native_id,
            from_customer=message.from_customer,
            text=message.text,
            content={**message.content, **media},
            status=status,
            created_at=message.created_at,
        )


class ChatAnswer(Answer):
    data: list[MessageAnswer]
    owner: str | None = Field(description="ai, person or paused: who answers in this chat.")


class BubbleAnswer(Answer):
    id: UUID
    text: str
    state: str
    kind: str


class ReplyAnswer(Answer):
    state: str
    complete: bool
    bubbles: list[BubbleAnswer]


class SeenAnswer(Answer):
    seen: int
