"""What all requests and answers have in common: money, pages, versions, and text one can keep."""

import re
from collections.abc import Callable, Container, Iterator
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from fastapi import Header, Query, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from commerce_agent.application.queries.page import Page
from commerce_agent.domain.services.optimistic_lock import ChangedMeanwhile
from shared.kernel.money import Money

T = TypeVar("T")

_ETAG = re.compile(r'"(\d{1,9})"\Z', re.ASCII)
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")
MOST_VALUES = 10_000
"""In one body; a product with a hundred variants has a third of that. Every value too much would
get its own line in the refusal."""


class RequestBody(BaseModel):
    """What comes in: fields nobody knows are refused, so a typo is not silently a default."""

    model_config = ConfigDict(extra="forbid")

    most_values: ClassVar[int] = MOST_VALUES

    @model_validator(mode="before")
    @classmethod
    def _can_be_kept(cls, value: Any) -> Any:
        for count, part in enumerate(_values(value), start=1):
            if count > cls.most_values:
                raise ValueError(f"a body holds at most {cls.most_values} values")
            if isinstance(part, str) and _NOT_TEXT.search(part):
                raise ValueError("text must hold neither NUL nor half a surrogate pair")
        return value

    def changes(self) -> dict[str, Any]:
        """The fields that were sent, whatever their value."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Answer(BaseModel):
    """What goes out, read from entities and rows by the names of their fields."""

    model_config = ConfigDict(from_attributes=True)


def read(source: object, schema: type[BaseModel], *, but: Container[str] = ()) -> dict[str, Any]:
    """What has the names of the schema's fields, but for some that are made otherwise."""
    return {name: getattr(source, name) for name in schema.model_fields if name not in but}


class MoneyAmount(BaseModel):
    """Minor units of the currency; the rupiah has none, so 25000 is Rp25.000."""

    model_config = ConfigDict(from_attributes=True, extra="forbid")

    amount: int = Field(strict=True, ge=0, le=10**12)
    currency: str = Field(pattern=r"^[A-Z]{3}$", examples=["IDR"])

    def money(self) -> Money:
        return Money(self.amount, self.currency)


class Cost(Answer):
    """Exact, in whole units of the currency."""

    amount: str = Field(pattern=r"^[0-9]+(\.[0-9]+)?$", examples=["0.000123"])
    currency: Literal["USD"] = "USD"

    @classmethod
    def of(cls, nanos: int) -> "Cost":
        """From billionths of a US dollar."""
        written = f"{Decimal(nanos).scaleb(-9):f}"
        return cls(amount=written.rstrip("0").rstrip(".") if "." in written else written)


class PageOf(BaseModel, Generic[T]):
    """``next_cursor`` is null on the last page."""

    data: list[T]
    next_cursor: str | None = None


def page_of(page: Page[Any], schema: Callable[[Any], T]) -> PageOf[T]:
    """A page of rows as a page of answers."""
    return PageOf(data=[schema(row) for row in page.data], next_cursor=page.next_cursor)


def written_plainly(value: Any) -> Any:
    """Python reads more as a whole number than anybody means: ``1_0``, ``5.0``, and with spaces."""
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]+", value):
        raise ValueError("a whole number is written in digits")
    return value


Limit = Annotated[
    int,
    BeforeValidator(written_plainly),
    Query(ge=1, le=200, description="Entries on a page."),
]
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


def _values(value: Any) -> Iterator[Any]:
    """All values of what JSON became, names of fields too; without recursion, however deep."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        yield part
        if isinstance(part, dict):
            waiting += part.keys()
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
