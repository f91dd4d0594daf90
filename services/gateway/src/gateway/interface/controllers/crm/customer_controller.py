"""The people who write to the shop."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from commerce_agent.application.queries.customer_queries import CustomerRow
from commerce_agent.domain.entities.customer import Customer
from commerce_agent.domain.value_objects.ids import CustomerId
from gateway.crm.dependencies import CustomerList, Customers, TenantFor
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
from gateway.interface.schemas.customers import CustomerAnswer, CustomerUpdate
from shared.kernel.ids import TenantId

router = APIRouter(
    prefix="/v1/crm/tenants/{tenant_id}/customers", tags=["customers"], route_class=ApiRoute
)

Reader = Annotated[TenantId, Depends(TenantFor(Scope.CUSTOMERS_READ))]
Writer = Annotated[TenantId, Depends(TenantFor(Scope.CUSTOMERS_WRITE))]


@router.get("")
async def list_customers(
    tenant: Reader,
    customers: CustomerList,
    limit: Limit = 50,
    cursor: Cursor = None,
    search: Annotated[
        str | None, Query(max_length=100, description="Part of a name or number.")
    ] = None,
) -> PageOf[CustomerAnswer]:
    """The shop's customers, newest first."""
    page = await customers.list(tenant, limit=limit, cursor=cursor, search=search)
    return page_of(page, CustomerAnswer.model_validate)


@router.get("/{customer_id}", response_model=CustomerAnswer)
async def get_customer(
    customer_id: CustomerId, tenant: Reader, customers: CustomerList, response: Response
) -> CustomerRow:
    """One customer."""
    customer = await customers.get(tenant, customer_id)
    tagged(response, customer.version)
    return customer


@router.patch("/{customer_id}", response_model=CustomerAnswer, responses=errors(409, 412))
async def update_customer(
    customer_id: CustomerId,
    body: CustomerUpdate,
    tenant: Writer,
    customers: Customers,
    expected: Annotated[int | None, Depends(expected_version)],
    response: Response,
) -> Customer:
    """Change what the shop knows of a customer."""
    customer = await customers.update(
        tenant, customer_id, **body.changes(), expected_version=expected
    )
    tagged(response, customer.version)
    return customer
