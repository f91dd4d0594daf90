"""What all requests and answers have in common: money, pages, versions, and text one can keep."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from commerce_agent.application.queries.page import Page
from commerce_agent.domain.services.optimistic_lock import ChangedMeanwhile
from shared.kernel.money import Money

T = TypeVar("T")

_ETAG = re.compile(r'"(\d{1,9})"\Z')


class RequestBody(BaseModel):
    """What comes in: fields nobody knows are refused, so a typo is not silently a default."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _holds_no_nul(cls, value: Any) -> Any:
        if _holds_nul(value):
            raise ValueError("text must not hold NUL")
        return value

    def changes(self) -> dict[str, Any]:
        """The fields that were sent, whatever their value."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Answer(BaseModel):
    """What goes out, read from entities and rows by the names of their fields."""

    model_config = ConfigDict(from_attributes=True)


class MoneyAmount(BaseModel):
    """Minor units of the currency; the rupiah has none, so 25000 is Rp25.000."""

    model_config = ConfigDict(from_attributes=True, extra="forbid")

    amount: int = Field(strict=True, ge=0, le=10**12)
    currency: str = Field(pattern=r"^[A-Z]{3}$", examples=["IDR"])

    def money(self) -> Money:
        return Money(self.amount, self.currency)


class PageOf(BaseModel, Generic[T]):
    """``next_cursor`` is null on the last page."""

    data: list[T]
    next_cursor: str | None = None


def page_of(page: Page[Any], schema: Callable[[Any], T]) -> PageOf[T]:
    """A page of rows as a page of answers."""
    return PageOf(data=[schema(row) for row in page.data], next_cursor=page.next_cursor)


Limit = Annotated[int, Query(ge=1, le=200, description="Entries on a page.")]
Cursor = Annotated[
    str | None, Query(max_length=500, description="`next_cursor` of the page before.")
]


def tagged(response: Response, version: int) -> None:
    """Give an answer the ETag that an update may ask for."""
    response.headers["etag"] = f'"{version}"'


def expected_version(
    if_match: Annotated[
        str | None, Header(description="The ETag that was read; 412 if it has changed.")
    ] = None,
) -> int | None:
    """The version an update insists on; ``None``: it takes any.

    Raises:
        ChangedMeanwhile: the tag is none that this server made.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    match = _ETAG.match(if_match.strip())
    if match is None:
        raise ChangedMeanwhile
    return int(match[1])


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_holds_nul(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(map(_holds_nul, value))
    return False
