"""Values that code supplied, so that a draft may say them."""

from dataclasses import dataclass
from enum import StrEnum


class FactKind(StrEnum):
    """What the outgoing check looks for in a draft."""

    AMOUNT = "amount"
    NUMBER = "number"
    URL = "url"
    PRODUCT_CODE = "product_code"
    ORDER_NUMBER = "order_number"
    PHONE = "phone"
    ACCOUNT = "account"
    PROMISE = "promise"
    """A claim in words: paid, refunded, free, discounted, shipped."""
    NAME = "name"
    """Never looked for, only supplied: what stands in a product's name is not a claim."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A value that code supplied, so a draft may say it. Amounts are minor units as digits."""

    kind: FactKind
    value: str
