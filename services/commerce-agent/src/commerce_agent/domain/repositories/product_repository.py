"""Where products are kept."""

from collections.abc import Iterable
from typing import Protocol

from commerce_agent.domain.entities.product import Product
from commerce_agent.domain.value_objects.ids import ProductId


class ProductRepository(Protocol):
    """The catalogue of the unit of work's tenant."""

    async def get(self, product_id: ProductId) -> Product:
        """Raises `ProductNotFound`."""
        ...

    async def find(self, product_id: ProductId) -> Product | None: ...

    async def taken_skus(self, skus: Iterable[str]) -> frozenset[str]:
        """Which of these SKUs are in use."""
        ...

    def add(self, product: Product) -> None:
        """Keep a new product. The commit raises `SkuTaken` if another was quicker."""
        ...
