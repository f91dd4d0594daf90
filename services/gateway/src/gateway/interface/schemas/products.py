"""The catalogue over HTTP."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AliasChoices, Field

from commerce_agent.domain.entities.product import ProductDraft, VariantDraft
from commerce_agent.domain.value_objects.ids import ProductId, VariantId
from gateway.interface.schemas.common import Answer, MoneyAmount, RequestBody

Name = Annotated[str, Field(max_length=200)]
OnHand = Annotated[int, Field(strict=True, ge=0, le=10**9)]


class VariantCreate(RequestBody):
    sku: str = Field(max_length=64)
    name: str = Field(default="", max_length=100)
    price: MoneyAmount
    on_hand: OnHand = Field(default=0, validation_alias=AliasChoices("on_hand", "stock"))
    attributes: dict[str, str] = Field(default={}, max_length=20)
    active: bool = True

    def draft(self) -> VariantDraft:
        return VariantDraft(
            sku=self.sku,
            name=self.name,
            price=self.price.money(),
            on_hand=self.on_hand,
            attributes=self.attributes,
            active=self.active,
        )


class ProductCreate(RequestBody):
    name: Name
    category: str = Field(default="", max_length=100)
    description: str = Field(default="", max_length=4000)
    images: list[str] = Field(default=[], max_length=10)
    active: bool = True
    variants: list[VariantCreate] = Field(min_length=1, max_length=100)

    def draft(self) -> ProductDraft:
        return ProductDraft(
            name=self.name,
            category=self.category,
            description=self.description,
            images=self.images,
            active=self.active,
            variants=[variant.draft() for variant in self.variants],
        )


class ProductUpdate(RequestBody):
    """Fields that are left out stay as they are."""

    name: Name | None = None
    category: str | None = Field(default=None, max_length=100)
    description: str | None = Field(default=None, max_length=4000)
    images: list[str] | None = Field(default=None, max_length=10)
    active: bool | None = None


class VariantUpdate(RequestBody):
    """Fields that are left out stay as they are. ``on_hand`` counts reserved ones too."""

    name: str | None = Field(default=None, max_length=100)
    price: MoneyAmount | None = None
    on_hand: OnHand | None = None
    attributes: dict[str, str] | None = Field(default=None, max_length=20)
    active: bool | None = None


class VariantAnswer(Answer):
    id: VariantId
    sku: str
    name: str
    price: MoneyAmount
    stock: int = Field(description="What can be sold: on hand less reserved.")
    on_hand: int
    reserved: int
    attributes: Mapping[str, str]
    active: bool


class ProductAnswer(Answer):
    id: ProductId
    name: str
    category: str
    description: str
    active: bool
    images: list[str]
    variants: list[VariantAnswer]
    version: int
