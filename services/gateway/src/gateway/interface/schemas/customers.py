"""Customers over HTTP."""

from pydantic import Field

from commerce_agent.domain.value_objects.ids import CustomerId
from gateway.interface.schemas.common import Answer, RequestBody


class CustomerUpdate(RequestBody):
    """Fields that are left out stay as they are; an empty text clears one."""

    name: str | None = Field(default=None, max_length=200)
    phone: str | None = Field(default=None, max_length=40)
    address: str | None = Field(default=None, max_length=500)
    language: str | None = Field(default=None, max_length=2)
    note: str | None = Field(default=None, max_length=2000)
    opted_out: bool | None = None


class CustomerAnswer(Answer):
    id: CustomerId
    name: str | None
    phone: str | None
    address: str | None
    language: str | None
    note: str | None
    opted_out: bool
    addresses: list[str]
    version: int
