"""What a shop may spend on models in a day."""

from typing import Annotated

from fastapi import APIRouter, Depends

from gateway.crm.dependencies import KeyFor, OpenModels
from gateway.domain.entities.api_key import Scope
from gateway.interface.http.api_route import ApiRoute
from gateway.interface.schemas.models import BudgetAnswer, BudgetBody
from shared.kernel.ids import TenantId

router = APIRouter(prefix="/v1/llm-budget", tags=["models"], route_class=ApiRoute)


@router.get("")
async def get_llm_budget(
    tenant: Annotated[TenantId, Depends(KeyFor(Scope.MODELS_READ))], open_models: OpenModels
) -> BudgetAnswer:
    """The limits, and what today has used of them."""
    async with open_models(tenant) as work:
        return BudgetAnswer.of(await work.budget.get(), await work.budget.today())


@router.put("")
async def set_llm_budget(
    body: BudgetBody,
    tenant: Annotated[TenantId, Depends(KeyFor(Scope.MODELS_WRITE))],
    open_models: OpenModels,
) -> BudgetAnswer:
    """Replace all limits; what is left out is no limit."""
    async with open_models(tenant) as work:
        await work.budget.save(body.budget())
        answer = BudgetAnswer.of(await work.budget.get(), await work.budget.today())
        await work.commit()
    return answer
