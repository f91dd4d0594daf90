"""Work that was given up: to look at, and to put back when its cause is gone."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends

from gateway.crm.dependencies import DeadLetters, TenantFor
from gateway.domain.entities.api_key import Scope
from gateway.interface.errors import errors
from gateway.interface.http.api_route import ApiRoute
from gateway.interface.schemas.common import Cursor, Limit, PageOf, page_of
from gateway.interface.schemas.work import DeadLetterAnswer
from shared.kernel.ids import TenantId

router = APIRouter(
    prefix="/v1/crm/tenants/{tenant_id}/dead-letters", tags=["dead letters"], route_class=ApiRoute
)


@router.get("")
async def list_dead_letters(
    tenant: Annotated[TenantId, Depends(TenantFor(Scope.WORK_READ))],
    letters: DeadLetters,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageOf[DeadLetterAnswer]:
    """What was given up, newest first, and why."""
    page = await letters.list(tenant, limit=limit, cursor=cursor)
    return page_of(page, DeadLetterAnswer.model_validate)


@router.post("/{dead_letter_id}/redrive", status_code=204, responses=errors(409))
async def redrive(
    dead_letter_id: UUID,
    tenant: Annotated[TenantId, Depends(TenantFor(Scope.WORK_WRITE))],
    letters: DeadLetters,
) -> None:
    """Put the work back into its queue, due now."""
    await letters.redrive(tenant, dead_letter_id)
