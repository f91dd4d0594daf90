"""Shops: made and listed by the operator, read and changed by themselves."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from commerce_agent.domain.entities.tenant import Tenant
from gateway.crm.dependencies import Operator, OwnTenant, TenantFor, TenantList, Tenants
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
from gateway.interface.schemas.tenants import TenantAnswer, TenantCreate, TenantUpdate
from shared.kernel.ids import TenantId

router = APIRouter(prefix="/v1/crm/tenants", tags=["tenants"], route_class=ApiRoute)

Writer = Annotated[TenantId, Depends(TenantFor(Scope.TENANT_WRITE))]
Expected = Annotated[int | None, Depends(expected_version)]


@router.post("", status_code=201, response_model=TenantAnswer, responses=errors(409))
async def create_tenant(
    body: TenantCreate, _: Operator, tenants: Tenants, response: Response
) -> Tenant:
    """Open a shop. Operators only; its keys are made with `ai-platform keys create`."""
    fields = body.model_dump(exclude={"profile"})
    tenant = await tenants.create(**fields, profile=body.profile.profile())
    response.headers["location"] = f"/v1/crm/tenants/{tenant.id}"
    tagged(response, tenant.version)
    return tenant


@router.get("")
async def list_tenants(
    _: Operator, tenants: TenantList, limit: Limit = 50, cursor: Cursor = None
) -> PageOf[TenantAnswer]:
    """All shops, oldest first. Operators only."""
    return page_of(await tenants.list(limit=limit, cursor=cursor), TenantAnswer.model_validate)


@router.get("/{tenant_id}", response_model=TenantAnswer)
async def get_tenant(tenant: OwnTenant, tenants: Tenants, response: Response) -> Tenant:
    """One shop: the key's own, or any for an operator."""
    found = await tenants.get(tenant)
    tagged(response, found.version)
    return found


@router.patch("/{tenant_id}", response_model=TenantAnswer, responses=errors(409, 412))
async def update_tenant(
    body: TenantUpdate, tenant: Writer, tenants: Tenants, expected: Expected, response: Response
) -> Tenant:
    """Change what the shop says of itself. The currency stays: prices are written in it."""
    changes = body.changes()
    if body.profile is not None:
        changes["profile"] = body.profile.profile()
    updated = await tenants.update(tenant, **changes, expected_version=expected)
    tagged(response, updated.version)
    return updated
