"""WhatsApp numbers over HTTP."""

from typing import Literal

from pydantic import Field

from gateway.interface.schemas.common import Answer, RequestBody
from shared.kernel.ids import ChannelId


class ChannelCreate(RequestBody):
    kind: Literal["waha", "simulator"]
    name: str = Field(max_length=100)
    session: str = Field(default="default", max_length=54, description="WAHA's session name.")
    base_url: str | None = Field(default=None, max_length=500, description="Of the WAHA server.")
    api_key: str | None = Field(default=None, max_length=500, description="Of the WAHA server.")


class ChannelUpdate(RequestBody):
    """Fields that are left out stay as they are."""

    name: str | None = Field(default=None, max_length=100)
    session: str | None = Field(default=None, max_length=54)
    base_url: str | None = Field(default=None, max_length=500)
    api_key: str | None = Field(default=None, max_length=500)
    active: bool | None = None


class ChannelAnswer(Answer):
    id: ChannelId
    kind: str
    name: str
    session: str
    base_url: str | None
    has_api_key: bool
    state: str
    phone: str | None
    active: bool
    rotating_secret: bool
    gap_repair: str
    version: int
    webhook_url: str = ""


class ChannelCreated(ChannelAnswer):
    webhook_secret: str = Field(description="Shown this once: the HMAC key for WAHA.")


class NewSecret(Answer):
    webhook_url: str
    webhook_secret: str = Field(description="Shown this once; the one before is still accepted.")
