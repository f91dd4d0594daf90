"""The catalogue: products and their variants, prices and stock."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from commerce_agent.application.queries.product_queries import ProductRow
from commerce_agent.domain.entities.product import Product
from commerce_agent.domain.value_objects.ids import ProductId, VariantId
from gateway.crm.dependencies import Catalogue, Products, TenantFor
from gateway.domain.entities.api_key import Scope
from gateway.interface.errors import errors
from gateway.interface.http.api_route import ApiRoute
from gateway.interface.schemas.common import (
    Cursor,
    Limit,
    PageOf,
    expected_version,
    page_of,
    tagged,
)
from gateway.interface.schemas.products import (
    ProductAnswer,
    ProductCreate,
    ProductUpdate,
    VariantCreate,
    VariantUpdate,
)
from shared.kernel.ids import TenantId

router = APIRouter(
    prefix="/v1/crm/tenants/{tenant_id}/products", tags=["products"], route_class=ApiRoute
)

Reader = Annotated[TenantId, Depends(TenantFor(Scope.PRODUCTS_READ))]
Writer = Annotated[TenantId, Depends(TenantFor(Scope.PRODUCTS_WRITE))]
Expected = Annotated[int | None, Depends(expected_version)]


@router.post("", status_code=201, response_model=ProductAnswer, responses=errors(409))
async def create_product(
    body: ProductCreate, tenant: Writer, products: Products, response: Response
) -> Product:
    """Add a product with its variants; prices are in the shop's currency."""
    product = await products.create(tenant, body.draft())
    response.headers["location"] = f"/v1/crm/tenants/{tenant}/products/{product.id}"
    tagged(response, product.version)
    return product


@router.get("")
async def list_products(
    tenant: Reader,
    catalogue: Catalogue,
    limit: Limit = 50,
    cursor: Cursor = None,
    category: Annotated[str | None, Query(max_length=100)] = None,
    active: bool | None = None,
) -> PageOf[ProductAnswer]:
    """The catalogue in the order of creation, products out of sale included."""
    page = await catalogue.list(
        tenant, limit=limit, cursor=cursor, category=category, active=active
    )
    return page_of(page, ProductAnswer.model_validate)


@router.get("/{product_id}", response_model=ProductAnswer)
async def get_product(
    product_id: ProductId, tenant: Reader, catalogue: Catalogue, response: Response
) -> ProductRow:
    """One product with all its variants."""
    product = await catalogue.get(tenant, product_id)
    tagged(response, product.version)
    return product


@router.patch("/{product_id}", response_model=ProductAnswer, responses=errors(409, 412))
async def update_product(
    product_id: ProductId,
    body: ProductUpdate,
    tenant: Writer,
    products: Products,
    expected: Expected,
    response: Response,
) -> Product:
    """Change a product; `active: false` takes it out of sale."""
    product = await products.update(tenant, product_id, **body.changes(), expected_version=expected)
    tagged(response, product.version)
    return product


@router.post(
    "/{product_id}/variants",
    status_code=201,
    response_model=ProductAnswer,
    responses=errors(409, 412),
)
async def add_variant(
    product_id: ProductId,
    body: VariantCreate,
    tenant: Writer,
    products: Products,
    expected: Expected,
    response: Response,
) -> Product:
    """Offer a product another way."""
    product, _ = await products.add_variant(
        tenant, product_id, body.draft(), expected_version=expected
    )
    tagged(response, product.version)
    return product


@router.patch(
    "/{product_id}/variants/{variant_id}",
    response_model=ProductAnswer,
    responses=errors(409, 412),
)
async def update_variant(
    product_id: ProductId,
    variant_id: VariantId,
    body: VariantUpdate,
    tenant: Writer,
    products: Products,
    expected: Expected,
    response: Response,
) -> Product:
    """Set a variant's price, stock on hand, name, attributes, or whether it is sold."""
    changes = body.changes()
    if body.price is not None:
        changes["price"] = body.price.money()
    product = await products.update_variant(
        tenant, product_id, variant_id, **changes, expected_version=expected
    )
    tagged(response, product.version)
    return product
