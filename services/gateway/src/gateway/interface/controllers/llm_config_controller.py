"""Models that answer: the platform's, and a shop's own with its own key."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from gateway.crm.dependencies import KeyFor, Models
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
from gateway.interface.schemas.models import (
    LLMConfigAnswer,
    LLMConfigBody,
    LLMConfigCreate,
    LLMConfigVersionAnswer,
    NewName,
    ProbeAnswer,
)
from llm_worker.domain.entities.llm_config import LLMConfig
from shared.kernel.ids import TenantId

router = APIRouter(prefix="/v1/llm-configs", tags=["models"], route_class=ApiRoute)

Reader = Annotated[TenantId, Depends(KeyFor(Scope.MODELS_READ))]
Writer = Annotated[TenantId, Depends(KeyFor(Scope.MODELS_WRITE))]
Expected = Annotated[int | None, Depends(expected_version)]


@router.post("", status_code=201, responses=errors(409))
async def create_llm_config(
    body: LLMConfigCreate, tenant: Writer, models: Models, response: Response
) -> LLMConfigAnswer:
    """Add a model of your own. One with the name of a platform's stands in front of it."""
    config = await models.create(tenant, body.config(tenant, body.name))
    response.headers["location"] = f"/v1/llm-configs/{config.name}"
    return _answer(config, response)


@router.get("")
async def list_llm_configs(
    tenant: Reader,
    models: Models,
    limit: Limit = 50,
    cursor: Cursor = None,
    inactive: bool = False,
) -> PageOf[LLMConfigAnswer]:
    """The models that you may use, by name; `inactive` adds those that are out of use."""
    page = await models.list(tenant, inactive=inactive, limit=limit, cursor=cursor)
    return page_of(page, LLMConfigAnswer.of)


@router.get("/{name}")
async def get_llm_config(
    name: str, tenant: Reader, models: Models, response: Response
) -> LLMConfigAnswer:
    """The model that answers under this name: yours, else the platform's."""
    return _answer(await models.get(tenant, name), response)


@router.put("/{name}", responses=errors(409, 412))
async def save_llm_config(
    name: NewName,
    body: LLMConfigBody,
    tenant: Writer,
    models: Models,
    expected: Expected,
    response: Response,
) -> LLMConfigAnswer:
    """Save the next version of your model, the first one if there is none. Workers use it within
    five seconds."""
    config = await models.update(
        tenant,
        name,
        lambda key: body.config(tenant, name, key),
        keep_key=body.keeps_key,
        expected_version=expected,
    )
    return _answer(config, response)


@router.delete("/{name}", status_code=204)
async def deactivate_llm_config(name: str, tenant: Writer, models: Models) -> None:
    """Put your model out of use; the platform's of that name, if any, answers again."""
    await models.deactivate(tenant, name)


@router.get("/{name}/versions")
async def list_llm_config_versions(
    name: str, tenant: Reader, models: Models, limit: Limit = 50, cursor: Cursor = None
) -> PageOf[LLMConfigVersionAnswer]:
    """What was saved under this name, the newest first."""
    page = await models.versions(tenant, name, limit=limit, cursor=cursor)
    return page_of(page, LLMConfigVersionAnswer.of_version)


@router.post("/{name}/test")
async def test_llm_config(name: str, tenant: Writer, models: Models) -> ProbeAnswer:
    """Let a worker ask the model one short question, which costs a few tokens. `ok` says whether it
    answered; `503 llm_probe_unanswered` when no worker has tried within 30 seconds."""
    return ProbeAnswer.of(await models.test(tenant, name))


def _answer(config: LLMConfig, response: Response) -> LLMConfigAnswer:
    tagged(response, config.version)
    return LLMConfigAnswer.of(config)
