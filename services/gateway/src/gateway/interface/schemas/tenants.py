"""Shops over HTTP."""

from typing import Annotated

from pydantic import Field

from commerce_agent.domain.entities.tenant import ShopProfile
from gateway.interface.schemas.common import Answer, RequestBody
from shared.kernel.ids import TenantId

Line = Annotated[str, Field(max_length=500)]
Paragraph = Annotated[str, Field(max_length=4000)]


class ProfileBody(RequestBody):
    """What the agent may say of the shop."""

    about: Paragraph = ""
    address: Line = ""
    hours: Line = ""
    persona: Paragraph = ""
    policies: list[Line] = Field(default=[], max_length=30)
    links: list[Line] = Field(default=[], max_length=20)

    def profile(self) -> ShopProfile:
        """Raises what ShopProfile raises."""
        return ShopProfile(
            about=self.about,
            address=self.address,
            hours=self.hours,
            persona=self.persona,
            policies=tuple(self.policies),
            links=tuple(self.links),
        )


class TenantCreate(RequestBody):
    slug: str = Field(max_length=63, examples=["kopi-senja"])
    name: Line
    currency: str = Field(default="IDR", max_length=3)
    timezone: str = Field(default="Asia/Jakarta", max_length=64)
    language: str = Field(default="id", max_length=2)
    profile: ProfileBody = ProfileBody()
    llm_config_name: str = Field(default="offline", max_length=100)


class TenantUpdate(RequestBody):
    """Fields that are left out stay as they are."""

    name: Line | None = None
    timezone: str | None = Field(default=None, max_length=64)
    language: str | None = Field(default=None, max_length=2)
    profile: ProfileBody | None = None
    llm_config_name: str | None = Field(default=None, max_length=100)


class ProfileAnswer(Answer):
    about: str
    address: str
    hours: str
    persona: str
    policies: list[str]
    links: list[str]


class TenantAnswer(Answer):
    id: TenantId
    slug: str
    name: str
    status: str
    currency: str
    timezone: str
    language: str
    profile: ProfileAnswer
    llm_config_name: str
    version: int
