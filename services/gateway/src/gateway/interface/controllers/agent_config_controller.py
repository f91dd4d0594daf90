"""How each agent of the pipeline answers, in versions of which one is published."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from gateway.crm.dependencies import Agents, KeyFor
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
    AgentConfigAnswer,
    AgentConfigBody,
    NewName,
    PublishBody,
)
from llm_worker.domain.entities.agent_config import AgentConfig, AgentType
from shared.kernel.ids import TenantId

router = APIRouter(prefix="/v1/agent-configs", tags=["models"], route_class=ApiRoute)

Reader = Annotated[TenantId, Depends(KeyFor(Scope.MODELS_READ))]
Writer = Annotated[TenantId, Depends(KeyFor(Scope.MODELS_WRITE))]
Expected = Annotated[int | None, Depends(expected_version)]


@router.get("")
async def list_agent_configs(
    tenant: Reader, agents: Agents, limit: Limit = 50, cursor: Cursor = None
) -> PageOf[AgentConfigAnswer]:
    """The published agents, yours before the platform's. `name` is the configuration whose jobs an
    agent answers; `default` stands for all that have none of their own."""
    page = await agents.list(tenant, limit=limit, cursor=cursor)
    return page_of(page, AgentConfigAnswer.of)


@router.get("/{name}/{type}")
async def get_agent_config(
    name: str, type: AgentType, tenant: Reader, agents: Agents, response: Response
) -> AgentConfigAnswer:
    """The published version."""
    return _answer(await agents.get(tenant, name, type), response)


@router.put("/{name}/{type}", responses=errors(409, 412))
async def save_agent_config(
    name: NewName,
    type: AgentType,
    body: AgentConfigBody,
    tenant: Writer,
    agents: Agents,
    expected: Expected,
    response: Response,
) -> AgentConfigAnswer:
    """Save the next version of your agent, the first one if there is none. Once published, workers
    use it within five seconds."""
    agent = await agents.save(
        tenant, body.agent(tenant, name, type), publish=body.publish, expected_version=expected
    )
    return _answer(agent, response)


@router.delete("/{name}/{type}", status_code=204)
async def withdraw_agent_config(name: str, type: AgentType, tenant: Writer, agents: Agents) -> None:
    """Publish none of your versions; the platform's, if any, answers again."""
    await agents.withdraw(tenant, name, type)


@router.get("/{name}/{type}/versions")
async def list_agent_config_versions(
    name: str,
    type: AgentType,
    tenant: Reader,
    agents: Agents,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageOf[AgentConfigAnswer]:
    """What was saved of this agent, the newest first."""
    page = await agents.versions(tenant, name, type, limit=limit, cursor=cursor)
    return page_of(page, AgentConfigAnswer.of)


@router.post("/{name}/{type}/publish", responses=errors(409))
async def publish_agent_config(
    name: str,
    type: AgentType,
    body: PublishBody,
    tenant: Writer,
    agents: Agents,
    response: Response,
) -> AgentConfigAnswer:
    """Let that version of yours answer from now on."""
    return _answer(await agents.publish(tenant, name, type, body.version), response)


@router.post("/{name}/{type}/rollback", responses=errors(409))
async def roll_back_agent_config(
    name: str, type: AgentType, tenant: Writer, agents: Agents, response: Response
) -> AgentConfigAnswer:
    """Let the version before the published one answer again."""
    return _answer(await agents.roll_back(tenant, name, type), response)


def _answer(agent: AgentConfig, response: Response) -> AgentConfigAnswer:
    tagged(response, agent.version)
    return AgentConfigAnswer.of(agent)
